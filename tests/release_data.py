"""A small study's results, written by hand, for tests of releases."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from mixes_data import conversation, write_responses
from rewild.config import load_benchmarks, load_models
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.fetch import read_manifest
from rewild.core.files import write_json
from rewild.core.measures import contract
from rewild.core.table import write_table
from rewild.evaluation.judged.schema import JUDGMENTS
from rewild.evaluation.scores.tidy import SCORES
from rewild.measures.run import write_measure
from rewild.operate.release.units import Case
from rewild.prompts.prepare import prepare
from rewild.training.preference_schema import DROPPED, PAIRS

ROOT = Path(__file__).resolve().parents[1]
MODEL, OTHER, BASE = "qwen2.5-14b-instruct", "mistral-nemo-instruct-2407", "mistral-7b-v0.3"
TERMS = {"licence": "odc-by"}
STUDY: dict[str, Any] = {
    "name": "small",
    "title": "A small study",
    "source": "computed",
    "prompts": {
        "sources": [
            {"kind": "wildchat-file", "name": "people-s", "files": ["people.jsonl"]},
            {"kind": "mt-bench", "name": "asked", "file": "asked.jsonl"},
        ],
        "shards": 2,
    },
    "responses": {"models": [MODEL, OTHER]},
    "measures": {"length": {"kind": "length"}},
    "mixes": {"mix": {"sources": [{"kind": "responses", "model": MODEL, **TERMS}], "size": 5}},
    "preferences": {
        "pairs": {"model": MODEL, "prompts": 3, "samples": 2, "scorer": {"kind": "rubric"}, **TERMS}
    },
    "runs": {
        "tuned": {"model": BASE, "mix": "mix", "recipe": "demo"},
        "plain": {"model": OTHER},
    },
    "evaluation": {"benchmarks": ["demo-chat"]},
    "judging": {"judge": "rubric"},
    "release": {"licences": {"people-s": "odc-by", "asked": "apache-2.0"}, "citation": "@misc{small}"},
}
EMPTY: dict[str, Any] = {"attempts": 1, "input_tokens": 1, "output_tokens": 1, "estimated": False}


def write_results(folder: Path, **changes: Any) -> Case:
    """Write ``results/small`` below a folder, as the stages of a study leave it.

    Args:
        folder: the repository.
        changes: of the study, section by section.
    """
    folder.mkdir(exist_ok=True)
    case = case_of(folder, **changes)
    study = case.study
    _prompts(folder, study)
    for model in (MODEL, OTHER):
        rows = [row for number in range(6) for row in conversation(number, model)]
        rows[3] |= {"response": None, "failure": "engine: it stopped", "finish_reason": None}
        write_responses(case.folder, model, rows)
        schema = contract({"characters": ("integer", "Characters"), "note": ("text", "A note")})
        keys = [{"conversation_id": r["conversation_id"], "turn": r["turn"], "sample": 0} for r in rows]
        values = [key | {"characters": 3, "note": "short", "failure": None} for key in keys]
        about = {"measure": "length", "subject": model, "digest": "d", "identity": {}}
        path = case.folder / "measures/length" / model / "all.parquet"
        write_measure(path, schema.frame(values, path), schema, [], about)
    _preferences(case)
    for run in study.runs:
        _judgments(case, run)
    _fine_tune(case)
    return case


def case_of(folder: Path, **changes: Any) -> Case:
    """The study, with changes, and the results that are below a folder."""
    study = validate(Study, STUDY | changes, "study small")
    config = ROOT / "config"
    models = load_models(config, study)
    return Case(study, models, load_benchmarks(config, models), read_manifest(), folder / "results")


def _prompts(folder: Path, study: Study) -> None:
    chats = [
        {
            "conversation_hash": f"{n:032x}",
            "conversation": [
                {"role": "user", "content": f"Question {n}: how tall is a **tree**?"},
                {"role": "assistant", "content": f"Tall {n}."},
            ],
            "language": "English" if n % 2 else "Dutch",
            "toxic": False,
            "redacted": False,
            "openai_moderation": [],
        }
        for n in range(5)
    ]
    (folder / "people.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats))
    asked = [{"question_id": n, "turns": [f"Ask {n}", f"And then {n}?"]} for n in range(3)]
    (folder / "asked.jsonl").write_text("".join(json.dumps(q) + "\n" for q in asked))
    assert study.prompts
    prepare("small", study.prompts, folder / "results/small/prompts", root=folder)


def _preferences(case: Case) -> None:
    folder = case.folder / "preferences/pairs"
    said = {"role": "assistant", "content": "Tall."}
    rows = [
        {
            "id": f"{n:016x}",
            "language": "English",
            "messages": [{"role": "user", "content": f"How tall {n}?"}],
            "chosen": said,
            "rejected": said | {"content": "No."},
            "chosen_score": 1.0,
            "rejected_score": 0.0,
            "scored": 2,
        }
        for n in range(2)
    ]
    write_table(folder / "train.parquet", PAIRS.frame(rows, "pairs"), PAIRS, {})
    dropped = DROPPED.frame([{"id": "f" * 16, "reason": "tie", "detail": "0.5"}], "dropped")
    write_table(folder / "dropped.csv", dropped, DROPPED, {})
    write_json(folder / "card.json", {"pairs": 2, "prompts": 3})


def _judgments(case: Case, run: str) -> None:
    folder = case.folder / "benchmarks" / run / "demo-chat"
    rows = [
        {
            "run": run, "benchmark": "demo-chat", "question_id": str(n), "category": "all", "turn": 0,
            "part": "judgment", "judge": "rubric", "judge_said": None, "template": "t@1", "request": f"r{n}",
            "reply": f"Rating: [[{n}]]", "earlier": [], "logprobs": None, "verdict": str(n),
            "value": float(n), "failure": None, **EMPTY,
        }
        for n in range(1, 4)
    ]  # fmt: skip
    write_table(folder / "judgments.parquet", JUDGMENTS.frame(rows, "judgments"), JUDGMENTS, {})
    write_json(folder / "judging.json", {"judgments": 3})
    score = {
        "study": "small", "run": run, "model": BASE, "benchmark": "demo-chat", "metric": "average",
        "part": "all", "value": 4.0, "stderr": 0.5, "n": 3, "attempted": 3, "empty": 0, "judge": "rubric",
        "template": None, "chat_template": None, "version": "1", "engine": "vllm 1", "seed": 50,
    }  # fmt: skip
    write_table(folder / "scores.csv", SCORES.frame([score], "scores"), SCORES, {})


def _fine_tune(case: Case) -> None:
    folder = case.folder / "runs/tuned"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint/model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (folder / "checkpoint/config.json").write_text("{}")
    (folder / "checkpoint/tokenizer.json").write_text('{"added": "<|im_start|>"}')
    (folder / "axolotl.yaml").write_text("base_model: x\n")
    write_json(folder / "training.json", {"steps": 9, "first_loss": 2.0, "last_loss": 1.0, "seed": 50})
    (folder / "passed").write_text("")
    write_json(case.folder / "mixes/mix/card.json", {"by_source": {MODEL: {"conversations": 5}}})


def bytes_of(frame: pl.DataFrame) -> bytes:
    """A table as the bytes of a file; how it lies in memory does not matter."""
    plain = pl.DataFrame(frame.to_dicts(), schema=frame.schema)
    plain.write_parquet(written := io.BytesIO())
    return written.getvalue()
