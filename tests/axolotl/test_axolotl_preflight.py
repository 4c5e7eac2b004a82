"""The preflight with real Axolotl: each silent trap is a check that stops the run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

from invented import conversations, write_mix
from rewild.core.errors import DataError
from rewild.core.files import sha256
from rewild.engines.tokenizer import load_tokenizer
from rewild.training.runs import kernel
from rewild.training.runs.checks import read_report
from rewild.training.runs.leak import leak, leak_check, short
from rewild.training.runs.preflight import preflight, tokenizer_of
from rewild.training.runs.render import axolotl_config, identity_of, start_identity
from rewild.training.runs.spans import expected
from test_kernel import HERE, build


def check(report: Any, name: str) -> Any:
    return next(c for c in report.checks if c.name == name)


def failed(report: Any) -> list[str]:
    return [c.name for c in report.checks if not c.passed]


@pytest.fixture
def without(monkeypatch):
    """Makes a silent trap real: what is rendered from then on lacks these keys, or has other values."""

    def change(*keys: str, **others: Any) -> None:
        def rendered(*words: Any) -> dict[str, Any]:
            config = axolotl_config(*words) | others
            return {key: value for key, value in config.items() if key not in keys}

        monkeypatch.setattr("rewild.training.runs.preflight.axolotl_config", rendered)

    return change


@pytest.fixture(scope="module")
def passed(bench):
    """A preflight of a sound run, done once."""
    files = bench.files("sound")
    report = preflight(bench.training("sound"), bench.mix, files, 1, print)
    return files, report


def test_a_sound_run_passes_every_check(passed, bench):
    files, report = passed
    assert report.passed, report
    assert [c.name for c in report.checks] == [
        "chat_template",
        "special_tokens",
        "content_is_text",
        "end_of_turn_trained",
        "only_assistant_trained",
        "rendered_as_served",
        "length",
        "seed_set",
        "data_path_unique",
        "packing_isolated",
    ]
    assert read_report(files.report("preflight")) == report
    assert "preflight of sound: passed" in files.report("preflight").with_suffix(".md").read_text()


def test_trained_tokens_are_counted_by_hand(passed, bench):
    """Every word of an answer and its end token; nothing else."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bench.base)
    wanted = 0
    for chat in pl.read_parquet(bench.mix)["messages"].to_list():
        for message in chat:
            if message["role"] == "assistant":
                wanted += len(tokenizer.encode(message["content"], add_special_tokens=False)) + 1
    counts = passed[1].counts
    assert counts["trained_tokens"] == wanted
    assert counts["compared"] == counts["conversations"] == 96
    assert counts["trained_outside_assistant"] == counts["assistant_tokens_untrained"] == 0


def test_the_oracle_marks_answers_and_their_ends_only(bench):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bench.base)
    template = (bench.folder / "chat.jinja").read_text()
    chat = [
        {"role": "user", "content": "the model"},
        {"role": "assistant", "content": "rivers and light"},
        {"role": "user", "content": "code"},
        {"role": "assistant", "content": "water"},
    ]
    ids, trained = expected(tokenizer, template, chat, "<|end|>")
    kept = tokenizer.decode([i for i, t in zip(ids, trained, strict=True) if t])
    assert kept == "rivers and light<|end|>water<|end|>"


def test_the_config_is_what_was_asked_for(passed, bench):
    config = yaml.safe_load(passed[0].config().read_text())
    assert config["seed"] == 7
    assert config["eot_tokens"] == ["<|end|>"]
    assert config["attn_implementation"] == "sdpa"
    assert passed[1].identity in config["dataset_prepared_path"]
    assert passed[1].counts["config_sha256"] == sha256(passed[0].config())


def test_packing_without_a_named_attention_is_stopped(bench, say, without):
    """Silent trap 1. Axolotl warns, keeps the masks, and packed conversations see each other."""
    without("attn_implementation")
    report = preflight(bench.training("leaking"), bench.mix, bench.files("leaking"), 1, say)
    assert failed(report) == ["packing_isolated"]
    found = check(report, "packing_isolated")
    moved = float(found.found.partition(" move by ")[2].partition("%")[0])
    assert moved > 30, found
    assert "name an attention that keeps them apart" in found.remedy


def test_prepared_data_at_a_path_of_any_content_is_stopped(bench, tmp_path, say, without):
    """Silent trap 2. Axolotl finds prepared data by its path, whatever the mix holds by then."""
    training, files = bench.training("stale"), bench.files("stale")
    mix = write_mix(tmp_path / "train.parquet", conversations(8))
    sound = preflight(training, mix, files, 1, say)
    assert sound.passed
    without(dataset_prepared_path=str(tmp_path / "prepared"))
    report = preflight(training, mix, files, 1, say)
    assert failed(report) == ["data_path_unique"]
    write_mix(mix, conversations(16, seed=2))
    assert prepared_for_training(files.config()) == 8, "the trap: of 16 conversations none is trained on"
    changed = identity_of(training, sha256(mix), start_identity(training))
    assert changed != sound.identity
    assert identity_of(replace(training, seed=8), sha256(mix), start_identity(training)) != changed


def prepared_for_training(config: Path) -> int:
    """How many conversations Axolotl would train on."""
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets

    return len(load_datasets(cfg=load_cfg(str(config)), cli_args=TrainerCliArgs()).train_dataset)


def test_a_mix_that_changes_while_it_is_prepared_is_stopped(bench, tmp_path, monkeypatch):
    mix = write_mix(tmp_path / "train.parquet", conversations(8))

    def say(line: str) -> None:  # the first line comes after the mix was read, before Axolotl reads it
        write_mix(mix, conversations(8, seed=2))

    report = preflight(bench.training("changing"), mix, bench.files("changing"), 1, say)
    assert not check(report, "data_path_unique").passed
    assert "changed while it was prepared: run this again" in check(report, "data_path_unique").remedy


def test_a_config_without_a_seed_is_stopped(bench, say, without):
    """Silent trap 3. Axolotl would draw an order of its own."""
    without("seed")
    report = preflight(bench.training("seedless"), bench.mix, bench.files("seedless"), 1, say)
    assert failed(report) == ["seed_set"]
    assert check(report, "seed_set").found == "the seed is None"


def test_an_end_of_turn_that_is_not_the_end_of_text_is_stopped(bench, say, without):
    """Silent trap 4. The template ends turns with a token that is not the eos: it stays masked."""
    without("eot_tokens", "special_tokens")
    report = preflight(bench.training("masked"), bench.mix, bench.files("masked"), 1, say)
    assert failed(report) == ["end_of_turn_trained", "only_assistant_trained"]
    assert "<|end|> is among the trained tokens of 0 of 96" in check(report, "end_of_turn_trained").found
    turns = sum(m["role"] == "assistant" for c in conversations(96) for m in c)
    assert f"{turns} of the assistant's are not" in check(report, "only_assistant_trained").found


def test_a_token_that_the_tokenizer_lacks_stops_before_axolotl(bench, say):
    training = bench.training("lacking", end="<|eot_id|>")
    report = preflight(training, bench.mix, bench.files("lacking"), 1, say)
    assert not report.passed
    found = check(report, "special_tokens")
    assert "does not have <|eot_id|>" in found.found
    assert len(report.checks) == 2, "what cannot be right is not prepared"


def tempted(bench, folder: Path, declared: str | None) -> Path:
    """The tiny base as a Mistral with Mistral's own tokenizer beside Hugging Face's."""
    base = folder / f"ministral-{declared}"
    shutil.copytree(bench.base, base)
    for name, change in (
        ("config.json", {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}),
        ("tokenizer_config.json", {"tokenizer_class": declared}),
    ):
        content = json.loads((base / name).read_text()) | change
        (base / name).write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    (base / "tekken.json").write_text("{}")
    return base


@pytest.mark.parametrize("declared", ["MistralCommonBackend", "PreTrainedTokenizerFast", None])
def test_axolotl_takes_hugging_faces_tokenizer_of_a_mistral_model(bench, tmp_path, declared):
    """What AutoTokenizer alone gives for these files is Mistral's own, or nothing."""
    from axolotl.loaders.tokenizer import load_tokenizer as axolotls
    from axolotl.utils.dict import DictDefault

    base = tempted(bench, tmp_path, declared)
    training = bench.training("tempted", base)
    own = load_tokenizer(bench.base, "tiny")
    config = tokenizer_of(training, load_tokenizer(base, "tempted"))
    assert config == {"tokenizer_type": "TokenizersBackend"}
    rendered = axolotl_config(training, "m", "w", "0") | config
    assert rendered["tokenizer_use_mistral_common"] is False
    cfg = DictDefault(rendered | {"tokenizer_config": str(base), "base_model_config": str(base)})
    found = axolotls(cfg)
    text = "the fox<|end|>"
    assert type(found) is type(own)
    assert found(text)["input_ids"] == own(text)["input_ids"]
    assert tokenizer_of(bench.training("plain"), own) == {}


def test_a_mistral_model_passes_with_hugging_faces_tokenizer(bench, tmp_path):
    training = bench.training("tempted", tempted(bench, tmp_path, "MistralCommonBackend"))
    files = bench.files("tempted")
    assert failed(preflight(training, bench.mix, files, 1, print)) == []
    assert yaml.safe_load(files.config().read_text())["tokenizer_type"] == "TokenizersBackend"


def test_a_base_without_a_template_is_told_what_to_add(bench, say):
    training = replace(bench.training("bare"), template=None)
    report = preflight(training, bench.mix, bench.files("bare"), 1, say)
    assert not report.passed
    assert "has no chat template" in report.checks[0].found
    assert "add its family, 'tiny', to the templates of recipe 'tiny'" in report.checks[0].remedy


def test_an_end_of_turn_that_the_template_never_writes_is_found(bench, say):
    """Axolotl only warns here, and would train a model that never stops."""
    training = bench.training("endless", end="<|eos|>")
    report = preflight(training, bench.mix, bench.files("endless"), 1, say)
    found = check(report, "end_of_turn_trained")
    assert not found.passed
    assert "<|eos|> is among the trained tokens of 0 of 96 conversations" in found.found
    assert not report.passed


def test_a_seam_that_is_cut_otherwise_before_an_answer_is_found(bench, say):
    """What ends a prompt must be the same tokens when an answer follows, or the model is asked otherwise."""
    training = bench.training("seam")
    path = bench.folder / "seam.jinja"
    # A space before the answer belongs to its first word, but stands alone at the end of a prompt.
    path.write_text((bench.folder / "chat.jinja").read_text().replace("|>\n", "|> "))
    template = training.template.model_copy(update={"file": str(path)})
    report = preflight(replace(training, template=template), bench.mix, bench.files("seam"), 1, say)
    found = check(report, "rendered_as_served")
    assert not found.passed
    assert "and 96 another seam between prompt and answer" in found.found


def test_long_conversations_are_counted(bench, tmp_path, say):
    chats = conversations(12)
    chats += [[{"role": "user", "content": "the"}, {"role": "assistant", "content": "water " * 200}]] * 6
    mix = write_mix(tmp_path / "train.parquet", chats)
    report = preflight(bench.training("long"), mix, bench.files("long"), 1, say)
    found = check(report, "length")
    assert not found.passed
    assert "6 of 18 conversations (33.3%) exceed 96 tokens and are cut" in found.found
    assert report.counts["over_long"] == 6
    assert report.counts["left_out"] == 0
    assert found.found.endswith("; 0 are left out whole")


def test_conversations_that_are_left_out_for_another_reason_stop(bench, tmp_path, say, without):
    """Axolotl drops what is short for its taste, and only logs it."""
    without(min_sample_len=40)
    report = preflight(bench.training("short"), bench.mix, bench.files("short"), 1, say)
    found = check(report, "length")
    assert not found.passed
    assert report.counts["left_out"] == 96 - report.counts["prepared"] > 0
    assert f"{report.counts['left_out']} that are not too long are left out too" in found.remedy


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such file; the run has nothing to learn from"),
        (lambda p: p.write_text("text"), "cannot be read as a Parquet file"),
        (lambda p: pl.DataFrame({"id": ["a"]}).write_parquet(p), "column 'messages' is missing (it has: id)"),
        (
            lambda p: pl.read_parquet(write_mix(p, conversations(1))).head(0).write_parquet(p),
            "no conversations",
        ),
    ],
)
def test_a_mix_that_is_none(bench, tmp_path, say, make, message):
    path = tmp_path / "train.parquet"
    make(path)
    with pytest.raises(DataError) as caught:
        preflight(bench.training("none"), path, bench.files("none"), 1, say)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_leak_between_packed_conversations_is_measured():
    """With positions that run on, nothing tells packed conversations apart."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads, attn_implementation="sdpa"))
    rows = [
        short({"input_ids": list(range(s, s + 20)), "labels": [0] * 20, "position_ids": list(range(20))})
        for s in (1, 30)
    ]

    def collate(batch, *, apart: bool):
        ids = torch.tensor([[i for row in batch[0] for i in row["input_ids"]]])
        reset = torch.tensor([[p for row in batch[0] for p in row["position_ids"]]])
        onward = torch.arange(ids.shape[1])[None]
        return {"input_ids": ids, "position_ids": reset if apart else onward}

    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    kept = leak(model, lambda b: collate(b, apart=True), *rows)
    let = leak(model, lambda b: collate(b, apart=False), *rows)
    assert leak_check(kept).passed, kept
    assert not leak_check(let).passed, let
    assert let > 0.1


def write_pairs(path: Path, *others: str) -> Path:
    """Twelve pairs; the answers that are not chosen are these, in turn."""
    rows = [
        {
            "id": str(i),
            "messages": chat[:1],
            "chosen": {"role": "assistant", "content": "water and light"},
            "rejected": {"role": "assistant", "content": others[i % len(others)]},
        }
        for i, chat in enumerate(conversations(12, words=6))
    ]
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_pairs_lose_nothing(bench, tmp_path, say):
    mix = write_pairs(tmp_path / "train.parquet", "code")
    training = bench.training("pairs", kind="dpo", beta=0.1, packing=False)
    report = preflight(training, mix, bench.files("pairs"), 1, say)
    assert report.passed, report
    names = ["pairs_whole", "content_is_text", "length", "seed_set", "data_path_unique"]
    names.append("packing_isolated")
    assert [c.name for c in report.checks[2:]] == names
    assert report.counts["prepared"] == 12
    assert report.counts["answers_ended"] == 24
    assert report.counts["over_long"] == report.counts["pairs_cut"] == 0
    write_pairs(mix, "water and light", "code")
    equal = preflight(training, mix, bench.files("equal"), 1, say)
    assert failed(equal) == ["pairs_whole"]
    assert (
        "of 12 pairs, 6 have an answer that is not whole or equals the other"
        in check(equal, "pairs_whole").found
    )
    assert json.loads(bench.files("equal").report("preflight").read_text())["passed"] is False


def test_answers_that_axolotl_looks_for_in_vain_are_found(bench, tmp_path, say):
    """It keeps one character of one that a template trims, and the header before one that stands in it."""
    training = bench.training("trimmed", kind="dpo", beta=0.1, packing=False)
    path = bench.folder / "trim.jinja"
    template = (bench.folder / "chat.jinja").read_text().replace("content'] }}", "content'] | trim }}")
    path.write_text(template.replace("<|end|>\n", "<|end|>"))  # as Llama 3's
    training = replace(training, template=training.template.model_copy(update={"file": str(path)}))
    mix = write_pairs(tmp_path / "train.parquet", "code", "  code", "words", "user")
    report = preflight(training, mix, bench.files("trimmed"), 1, say)
    assert failed(report) == ["pairs_whole"]
    found = check(report, "pairs_whole")
    assert "of 12 pairs, 6 have an answer that is not whole" in found.found
    named = found.remedy.rpartition("(")[2].partition(", ...")[0].split(", ")
    assert len(named) == 3
    assert all(int(name) % 4 in {1, 3} for name in named)


@pytest.mark.parametrize(("over_long", "left"), [("truncate", 0), ("drop", 3)])
def test_long_pairs_are_counted_and_stop_above_the_gate(bench, tmp_path, say, over_long, left):
    """An answer that is cut has lost its end; a pair or two of a hundred may, more stop the run."""
    mix = write_pairs(tmp_path / "train.parquet", "code", "code", "code", "water " * 200)
    few = bench.training(over_long, kind="dpo", beta=0.1, packing=False, over_long=over_long)
    few = replace(few, recipe=few.recipe.model_copy(update={"gates": {"cut": 0.3}}))
    report = preflight(few, mix, bench.files(over_long), 1, say)
    assert report.passed, report
    verb = "cut" if over_long == "truncate" else "dropped"
    assert f"3 of 12 pairs (25.0%) exceed 96 tokens and are {verb}" in check(report, "length").found
    assert (report.counts["left_out"], report.counts["prepared"]) == (left, 12 - left)
    assert report.counts["pairs_cut"] == 3 - left
    strict = replace(few, recipe=few.recipe.model_copy(update={"gates": {"cut": 0.2}}))
    assert failed(preflight(strict, mix, bench.files(over_long), 1, say)) == ["length"]


def test_a_recipe_for_gpus_is_checked_without_one(bench, say):
    """On a node that has none: what only a GPU can measure is left to the start of the training."""
    gpus = {"gpus": 4, "precision": "bf16", "attention": "flash_attention_2", "fsdp": {}}
    training = bench.training("four", **gpus, gradient_checkpointing=True, accumulation=8)
    report = preflight(training, bench.mix, bench.files("four"), 1, say)
    assert failed(report) == ["flash_attention"], "a GPU node would ask the hub for it"
    place = bench.files("four").root / kernel.PLACE
    kernel.record(build(place), HERE, "c" * 40)
    report = preflight(training, bench.mix, bench.files("four"), 1, say)
    assert report.passed, report
    assert report.counts["prepared"] == 96
    assert "the training measures it when it starts" in check(report, "packing_isolated").found


def test_axolotl_accepts_the_papers_recipe():
    """The golden config of four GPUs, held against Axolotl's own schema as on such a node."""
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    golden = Path(__file__).resolve().parents[1] / "golden/axolotl-wildchat50m.yaml"
    config = yaml.safe_load(golden.read_text())
    config.pop("plugins")
    node = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 4, "n_node": 1, "compute_capability": "sm_90"}
    found = validate_config(
        DictDefault(config), capabilities=node, env_capabilities={"torch_version": "2.13.0"}
    )
    assert found.attn_implementation == "flash_attention_2"
    assert found.fsdp_version == 2
    assert found.fsdp_config.final_state_dict_type == "FULL_STATE_DICT"
    assert found.sample_packing is True
