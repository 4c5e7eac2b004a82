"""Preflight of models: are configuration, tokenizer and chat template of each there, and do they work?

They are loaded as a job will load them, from the hub or, where it cannot be reached, from the cache. That
needs transformers, which the workflow's own environment does not have: one that is built already is used.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rewild import FOLDER
from rewild.config.engines import find_engine
from rewild.config.models import find_model
from rewild.config.trainings import find_run
from rewild.core.errors import ConfigError
from rewild.generation.spec import Spec
from rewild.operate.cost.base import CostInputs
from rewild.operate.site import Check
from rewild.prompts.synthesis.spec import specs_of, syntheses_of
from rewild.responses.spec import make_spec

TOOLS = ("vllm", "vllm-cpu", "engine-cpu", "lm-eval", "lm-eval-cpu", "axolotl", "axolotl-cpu")
PATIENCE = 600  # seconds for all models; each takes one or two, and a download of some MB the first time
NAME = "tokenizers and templates"


def check_models(
    inputs: CostInputs, environ: Mapping[str, str], envs: Path = Path(".envs")
) -> Iterator[Check]:
    """Load configuration and tokenizer of every model that the study loads, and render its template.

    Args:
        inputs: the study, and all tables.
        environ: the variables of jobs: ``HF_HOME`` and tokens.
        envs: where the environments of tools are.
    """
    wanted = list(models_to_look_at(inputs))
    if not wanted:
        return
    python = find_python(envs)
    if python is None:
        yield Check(
            NAME,
            "missing",
            f"{len(wanted)} models cannot be looked at: no environment here has transformers; build one: "
            "rewild build-env envs/engine-cpu.txt .envs/engine-cpu",
        )
        return
    offline = environ if environ.get("HF_HUB_OFFLINE") or reachable(environ) else _offline(environ)
    problems = _look(python, wanted, offline)
    if problems:
        hint = " (the hub cannot be reached from here, so only the cache was read)" * (offline is not environ)
        alike: dict[str, list[str]] = defaultdict(list)
        for name, reason in problems.items():
            alike[reason].append(name)
        shown = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
        yield Check(NAME, "missing", f"{len(problems)} of {len(wanted)} models cannot start{hint}: {shown}")
    else:
        yield Check(NAME, "ok", f"{len(wanted)} models load, and their chat templates work")


def _generating(job: Spec, in_folder: bool) -> Iterator[dict[str, Any]]:
    source = job.source
    folder = source.revision is None and (in_folder or Path(source.path).is_absolute())
    if not source.path or (folder and not Path(source.path).is_dir()):
        return
    yield {
        "name": job.model,
        "path": source.path,
        "revision": source.revision,
        "trust_remote_code": source.trust_remote_code,
        "context": job.plan.context if job.plan else job.limits.context,
        "chats": True,
        "system": job.system,
        "template": source.template,
        "reasoning": source.reasoning and source.reasoning.model_dump(mode="json"),
    }


def models_to_look_at(inputs: CostInputs) -> Iterator[dict[str, Any]]:
    """Every model that the study loads, as :func:`rewild.engines.look.look` wants it.

    A model that lies nowhere, and a folder that is not made yet, are left out: other checks name those.
    """
    study, seen = inputs.study, set()
    in_folders = {slug for slug, row in inputs.models.items() if row.folder is not None}
    for slug in study.responses.models if study.responses else []:
        assert study.responses is not None
        if find_engine(study.responses.of(slug).engine).remote:
            continue
        with suppress(ConfigError):
            job = make_spec(study, slug, inputs.models, dict(inputs.gpus))
            seen.add(job.source.path)
            yield from _generating(job, slug in in_folders)
    for asked in syntheses_of(study):
        with suppress(ConfigError):
            told = asked.told("system")
            writes, *answers = specs_of(study, asked, inputs.models, dict(inputs.gpus))
            for job in (replace(writes, system=told.text if told else None), *answers):
                if not job.remote:
                    seen.add(job.source.path)
                    yield from _generating(job, job.model in in_folders)
    for run in study.runs:
        slug = find_run(study, run).model
        if slug in study.runs or slug in in_folders:
            continue
        row = find_model(inputs.models, slug)
        path, revision = row.checkpoint()
        if path is not None and path not in seen:
            seen.add(path)
            yield _tokenizer_of(slug, path, revision) | {"trust_remote_code": row.trust_remote_code}
    for pair in study.preferences.values():
        if pair.scorer.kind == "reward-model" and pair.scorer.path not in seen:
            seen.add(pair.scorer.path)
            scorer = pair.scorer
            yield _tokenizer_of(scorer.path, scorer.path, scorer.revision) | {"chats": True}


def _tokenizer_of(name: str, path: str, revision: str | None) -> dict[str, Any]:
    """A model that is not asked for answers: a base model needs no template of its own."""
    return {
        "name": name,
        "path": path,
        "revision": revision,
        "trust_remote_code": False,
        "context": None,
        "chats": False,
        "system": None,
        "template": None,
    }


def find_python(envs: Path) -> Path | None:
    """A Python that has transformers: this one, or that of a tool's environment that is ready."""
    if importlib.util.find_spec("transformers"):
        return Path(sys.executable)
    found = (envs / tool for tool in TOOLS)
    return next((f / "bin" / "python" for f in found if (f / "ready").is_file()), None)


def reachable(environ: Mapping[str, str]) -> bool:
    """Whether the hub answers, or a proxy that leads there: asked once, not once per model."""
    url = environ.get("HF_ENDPOINT") or "https://huggingface.co"
    proxy = next((environ[k] for k in ("https_proxy", "HTTPS_PROXY", "all_proxy") if environ.get(k)), None)
    try:
        place = urlsplit(proxy or url)
        port = place.port or (80 if place.scheme == "http" else 443)
        socket.create_connection((place.hostname or "", port), timeout=3).close()
    except (OSError, ValueError):
        return False
    return True


def _offline(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "HF_HUB_OFFLINE": "1"}


def _look(python: Path, wanted: Sequence[dict[str, Any]], environ: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by model; a reason says HERE for the model's own place, so that like ones are alike."""
    replies, ended = look_at(python, wanted, environ)
    found = {}
    for model in wanted:
        for problem in replies.get(model["name"], {"problems": [ended]})["problems"][:1]:
            found[model["name"]] = problem.replace(f" from {model['path']}", "").replace(
                model["path"], "HERE"
            )
    return found


def look_at(
    python: Path, wanted: Sequence[dict[str, Any]], environ: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], str]:
    """What :mod:`rewild.engines.look` replies of each model, by name; and why others have no reply.

    Args:
        python: one that has transformers.
        wanted: what is asked of each model.
        environ: variables over those here.
    """
    variables = {**os.environ, **environ, "PYTHONPATH": str(FOLDER)}
    command = [str(python), "-m", "rewild.engines.look"]
    asked = json.dumps(list(wanted))
    try:
        done = subprocess.run(
            command, input=asked, text=True, capture_output=True, check=False, env=variables, timeout=PATIENCE
        )
        out, lines = done.stdout, done.stderr.strip().splitlines()
        ended = f"{python} ended before it: {lines[-1] if lines else f'exit {done.returncode}'}"
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        ended = f"not reached within {PATIENCE} seconds"
    return {reply["name"]: reply for reply in map(json.loads, out.splitlines())}, ended
