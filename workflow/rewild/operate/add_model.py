"""A row of the models from a model's own files: what they say, and where each value was read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from rewild.config.base import validate
from rewild.config.models import OWN, TOLERANCE, Dimensions, Model, load_models
from rewild.core.errors import ConfigError, first_line
from rewild.core.escape import line
from rewild.core.files import write_text
from rewild.engines.config_file import ConfigFile
from rewild.engines.dimensions import Found, dimensions_of
from rewild.operate.model_files import CONFIG, Files, as_dict, as_list, read_card, stored
from rewild.operate.preflight_models import find_python, look_at

EIGHT = ("fp8", "fbgemm_fp8")
"""Quantization methods that keep weights as 8-bit floating-point numbers."""


@dataclass
class Draft:
    """A row to be: key → value and where it was read; keys of ``dimensions`` stand in it with their own."""

    slug: str
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    dimensions: Found = field(default_factory=Found)
    notes: list[str] = field(default_factory=list)
    prompt: str | None = None

    def put(self, key: str, value: Any, source: str = "") -> None:
        """Keep a value, unless it says nothing."""
        if value is not None and value != []:
            self.values[key], self.sources[key] = value, source

    @property
    def row(self) -> dict[str, Any]:
        """As a table of the configuration has it."""
        return {**self.values, "dimensions": self.dimensions.values}


def draft(files: Files, name: str, slug: str | None, envs: Path, known: Mapping[str, Model]) -> Draft:
    """Read a model's files and make a row of them.

    Args:
        files: the model's.
        name: as it was asked for: OWNER/NAME, or a folder.
        slug: its name in the table; None follows from the name.
        envs: where environments of tools are: one with transformers fills in what is not stated, counts
            parameters and tries the template.
        known: the table, for a base model that the card names.

    Raises:
        ConfigError: a number that every model has is missing, or nobody here knows the architecture.
        DataError: a file is broken.
    """
    made = Draft(slug or slug_of(name))
    stated = files.json(CONFIG)
    if not isinstance(stated.get("model_type"), str):
        raise ConfigError(f"{name}: {CONFIG} does not say its 'model_type': it is no model of transformers")
    said = _described(made, files, name, envs)
    own_code = ConfigFile(stated).own_code
    kind = str(ConfigFile(stated).decoder.get("model_type") or stated["model_type"])
    if said and not (said["transformers"] or said["vllm"] or own_code):
        raise ConfigError(
            f"{name}: nobody here knows the architecture '{stated['model_type']}' "
            f"({', '.join(map(str, as_list(stated.get('architectures'))))}){said['near']}; a newer "
            "transformers or vLLM may (envs/), or the row can be written by hand (docs/models.md)"
        )
    _where(made, files, name)
    made.put("family", slug_of(str(stated["model_type"])).replace("_", "-"), f"{CONFIG}: model_type")
    chats = bool(said["chats"]) if said else _has_template(files)
    made.put("roles", ["dgm"] if chats else ["base", "sft-target"], "whether it has a chat template")
    _card(made, files, chats, known)
    complete = ConfigFile((said and said["values"]) or stated)
    made.dimensions = _dimensions(complete, ConfigFile(stated), name, said)
    made.notes += made.dimensions.notes
    made.put("native_context", complete.context, f"{CONFIG}: max_position_embeddings, or its like")
    made.put("vision", ConfigFile(stated).vision or None, f"{CONFIG}: vision_config")
    _weights(made, files, stated, said)
    made.put("chat_template", chats, "its tokenizer")
    if said:
        made.prompt = said["prompt"]
        made.put("end_tokens", said["ends"], "generation config, tokenizer and template")
        if reasons := said.get("reasons"):
            made.put("reasoning", {}, f"its chat template: {' ... '.join(reasons)}")
        made.notes += said["problems"]
        if said["chats"] and not said["system"]:
            made.notes.append("its template takes no system prompt, or drops it")
        if said["transformers"] is None and not own_code:
            made.notes.append(f"transformers does not know '{kind}'; vLLM {said['vllm']} does")
    if own_code:
        made.put("ships_code", True, f"{CONFIG}: auto_map")
        made.notes.append("it ships code of its own, which stays off unless you set trust_remote_code")
    made.notes += _wrong_count(made)
    _free_of_base(made, known)
    return made


def slug_of(name: str) -> str:
    """A model's name in the table, from its name on the hub or its folder's."""
    found = re.sub(r"[^a-z0-9._-]+", "-", name.rstrip("/").rpartition("/")[2].lower()).lstrip("._-")
    if not found:
        raise ConfigError(f"{name}: no name of the table follows from it; give one: --as NAME")
    return found


def _described(made: Draft, files: Files, name: str, envs: Path) -> dict[str, Any]:
    """What an environment with transformers says of it; empty where there is none, or it fails."""
    python = find_python(envs)
    if python is None:
        made.notes.append(
            "no environment here has transformers: defaults of its class are not filled in, and its template "
            "is not tried; build one: rewild build-env envs/engine-cpu.txt .envs/engine-cpu"
        )
        return {}
    asked = {"name": name, "path": str(files.folder.resolve()), "describe": True}
    replies, ended = look_at(python, [asked], {"HF_HUB_OFFLINE": "1"})
    if name not in replies:
        made.notes.append(f"transformers could not look at it: {ended}")
    return replies.get(name, {})


def _where(made: Draft, files: Files, name: str) -> None:
    if files.hub is None:
        made.put("folder", str(files.folder))
        return
    today = datetime.now(UTC).date().isoformat()
    made.put("hub", name)
    made.put("revision", files.revision, files.place)
    made.put("revision_source", f"{files.place[0].upper()}{files.place[1:]}, main, {today}")
    gated = files.info.get("gated")
    if gated is None:
        made.notes.append("whether the hub asks for consent is not known: it was not asked")
    else:
        made.put("gated", bool(gated), "the hub")


def _card(made: Draft, files: Files, chats: bool, known: Mapping[str, Model]) -> None:
    card = read_card(files, made.notes.append)
    licence = card.get("license")
    if licence == "other":
        licence = card.get("license_name") or licence
    if not isinstance(licence, str):
        tags = [tag for tag in as_list(files.info.get("tags")) if isinstance(tag, str)]
        licence = next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), None)
    if licence is None and card:
        made.notes.append("its card names no licence")
    base = card.get("base_model")
    base = base[0] if isinstance(base, list) and len(base) == 1 else base
    found = next((m.slug for m in known.values() if m.hub and m.hub == base), None)
    made.put("kind", "instruct" if chats else "pretrained" if found is None else "continued", "a guess")
    made.put("base", found, "its card: base_model")
    made.put("licence", line(licence)[:100] if licence else None, "its card")


def _dimensions(complete: ConfigFile, stated: ConfigFile, name: str, said: Mapping[str, Any]) -> Found:
    """The dimensions; which of them the configuration itself says, and which its class in transformers."""
    found = dimensions_of(complete, name)
    for key, source in found.sources.items():
        first = source.split(",")[0]
        filled = (
            said
            and re.fullmatch(r"\w+", first)
            and first not in stated.decoder
            and first not in stated.values
        )
        found.sources[key] = (
            f"transformers {said['transformers']}: {source}" if filled else f"{CONFIG}: {source}"
        )
    validate(Dimensions, found.values, f"{name}: {CONFIG}")
    return found


def _weights(made: Draft, files: Files, stated: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Parameters, precision and bytes of the weights."""
    here, config = stored(files), ConfigFile(stated)
    quantization = as_dict(stated.get("quantization_config") or config.decoder.get("quantization_config"))
    implied = Dimensions.model_validate(made.dimensions.values).parameters()
    counted: tuple[int | None, int | None] = (said.get("total"), said.get("active"))
    total: int | None
    if here and here.parameters and not quantization:
        total, source = here.parameters, here.source
    elif counted[0]:
        total, source = counted[0], f"transformers {said['transformers']}, counted without weights"
    else:
        total, source = (implied[0], "follows from the dimensions") if implied else (None, "")
    if total is None:
        made.notes.append("how many parameters it has is not established: there is no engine plan without")
    else:
        active = counted[1] or (implied[1] if implied else None)
        rest = (
            {"active": active} if active and active < total and made.dimensions.values.get("experts") else {}
        )
        made.put("parameters", {"total": total} | rest, source)
        if counted[0] and abs(counted[0] / total - 1) > TOLERANCE:
            made.notes.append(f"its weights are {total:,} numbers, and transformers counts {counted[0]:,}")
    method = str(quantization.get("quant_method") or "")
    eight = method in EIGHT or (method in ("compressed-tensors", "modelopt") and _is_eight(quantization))
    made.put("paper_precision", "fp8" if eight else "bf16", f"{CONFIG}: {method or 'dtype'}")
    if quantization:
        made.put("weight_bytes", here.bytes if here else None, here.source if here else "")
        if not eight:
            made.notes.append(
                f"its weights are quantized ({method or 'it is not said how'}); it computes in bf16"
            )
            if here is None:
                made.notes.append("how many bytes its weights have is not known; the plan takes bf16's")
    dtype = stated.get("dtype") or stated.get("torch_dtype") or config.decoder.get("dtype")
    if dtype not in (None, "bfloat16", "bf16"):
        made.notes.append(f"its files say {line(dtype)[:40]}; it would run in bf16")


def _is_eight(quantization: Mapping[str, Any]) -> bool:
    """Whether compressed-tensors or ModelOpt keep weights as 8-bit floating-point numbers."""
    if "FP8" in str(quantization.get("quant_algo", "")).upper():
        return True
    groups = as_dict(quantization.get("config_groups"))
    weights = [as_dict(as_dict(group).get("weights")) for group in groups.values()]
    return bool(weights) and all((w.get("num_bits"), w.get("type")) == (8, "float") for w in weights)


def _wrong_count(made: Draft) -> list[str]:
    """Leave out the width of the layers where the dimensions do not make the count of parameters."""
    implied = Dimensions.model_validate(made.dimensions.values).parameters()
    stated = made.values.get("parameters", {}).get("total")
    if not implied or not stated or made.values.get("vision") or abs(implied[0] / stated - 1) <= TOLERANCE:
        active = made.values.get("parameters", {}).get("active")
        if not implied or active is None or abs(implied[1] / active - 1) <= TOLERANCE:
            return []
        made.values["parameters"] = {"total": stated}
        return [
            f"its dimensions make {implied[1]:,} parameters a token, not {active:,}: that count is left out"
        ]
    width = made.dimensions.values.pop("intermediate_size", None)
    made.dimensions.sources.pop("intermediate_size", None)
    return [
        f"its dimensions would make {implied[0]:,} parameters, not {stated:,}: it has parts that are "
        f"not known here, so intermediate_size ({width:,}) is left out; "
        "the plan takes four times hidden_size"
    ]


def _free_of_base(made: Draft, known: Mapping[str, Model]) -> None:
    """No base in the row if that would lend it dimensions that its own files do not have."""
    base = made.values.get("base")
    lent = known[base].dimensions.model_dump(exclude_defaults=True) if base else {}
    if more := sorted(set(lent) - set(made.dimensions.values)):
        del made.values["base"]
        made.notes.append(f"its base is {base}, which the row leaves out: it would lend {', '.join(more)}")


def _has_template(files: Files) -> bool:
    return (files.folder / "chat_template.jinja").is_file() or bool(
        files.json("tokenizer_config.json").get("chat_template")
    )


def as_text(made: Draft, name: str) -> str:
    """The row as YAML, each value with where it was read."""
    lines = [f"# {line(name)}, by `rewild add-model`: what its files say, and where each value was read."]
    lines += [f"#   Note: {line(note)}" for note in made.notes]
    lines.append(f"{made.slug}:")
    for key, value in made.values.items():
        lines.append(_line(key, value, made.sources.get(key, ""), 2))
    lines.append("  dimensions:")
    for key, value in made.dimensions.values.items():
        lines.append(_line(key, value, made.dimensions.sources.get(key, ""), 4))
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, source: str, indent: int) -> str:
    plain = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    plain = plain.removesuffix("\n").removesuffix("\n...")
    return " " * indent + f"{key}: {plain}" + (f"  # {line(source)}" if source else "")


def check(config: Path, made: Draft, text: str) -> Model:
    """The row as the tables will have it.

    Raises:
        ConfigError: it has a wrong value, or a row has its name or its hub id already.
    """
    known = load_models(config)
    if made.slug in known:
        raise ConfigError(
            f"there is a model '{made.slug}' already (see `rewild models`); give another: --as NAME"
        )
    if twin := next((m for m in known.values() if m.hub and m.hub == made.values.get("hub")), None):
        raise ConfigError(f"{twin.hub} is the model '{twin.slug}' already (see `rewild models`)")
    with TemporaryDirectory() as folder:
        for path in config.glob("*.yaml"):
            shutil.copyfile(path, Path(folder) / path.name)
        _append(Path(folder), text)
        try:
            return load_models(Path(folder))[made.slug]
        except ConfigError as error:
            said = str(error).replace(folder, str(config))
            raise ConfigError(f"the row does not hold together, so it is not written:\n{said}") from None


def _append(config: Path, text: str) -> None:
    path = config / OWN
    before = path.read_text(encoding="utf-8") if path.is_file() else HEAD
    write_text(path, before.rstrip("\n") + "\n\n" + text)


HEAD = """\
# yaml-language-server: $schema=schemas/models.json
# Models of your own, beside those of models.yaml: the same keys (docs/models.md). `rewild add-model` adds
# to the end and changes nothing that stands here.
"""


def add(config: Path, text: str) -> Path:
    """Write the row to the end of the user's table; what stands there stays, comments and order too."""
    _append(config, text)
    return config / OWN


def show(made: Draft, say: Callable[[str], None]) -> None:
    """Say the dry pilot of its template, and what to know."""
    if made.prompt is not None:
        say("A question as its template renders it, up to where the answer begins:")
        for part in made.prompt.splitlines() or [""]:
            say(f"  | {line(part)}")
    for note in made.notes:
        say(f"note: {first_line(ConfigError(line(note)))}")
