"""Real lm-eval on tiny models made here: real questions of four benchmarks, targeted reruns, bad input.

lm-eval runs in its own environment, as in production; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from rewild.evaluation.harness.questions import convert
from rewild.evaluation.harness.score import write
from rewild.evaluation.harness.sentences import NEEDED
from warm import interpreter

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".envs/lm-eval-cpu"
PYTHON = ENVIRONMENT / "bin/python"
PER_TASK = 2
SETTINGS = {
    "bbh": {"files": "questions/bbh"},
    "musr": {"files": "questions/musr"},
    "math": {"files": "questions/math", "max_new_tokens": 24},
    "ifeval": {"files": "questions/ifeval", "max_new_tokens": 24, "limit": 12},
    "ifeval-loose": {"files": "questions/ifeval", "max_new_tokens": 24, "limit": 12},
    "gsm8k": {"files": "questions/gsm8k", "max_new_tokens": 24, "fewshot": 2},
}
METRICS = {
    "bbh": "acc_norm,none",
    "musr": "acc_norm,none",
    "math": "exact_match,none",
    "ifeval": "prompt_level_strict_acc,none",
    "ifeval-loose": "inst_level_loose_acc,none",
    "gsm8k": "exact_match,strict-match",
}
MAKE = """
import sys, torch
from pathlib import Path
sys.path.insert(0, "tests/engine")
from tiny import make_model
from transformers import AutoModelForCausalLM
folder = Path(sys.argv[1])
make_model(folder / "tiny", context=4096)
make_model(folder / "mute", context=4096)
model = AutoModelForCausalLM.from_pretrained(folder / "mute")
with torch.no_grad():
    model.model.norm.weight.zero_()  # every logit is 0, so the first token wins: a control token, no text
model.save_pretrained(folder / "mute")
"""


def lm_eval(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {
        "PYTHONPATH": f"{ROOT / 'workflow'}:{ROOT / 'tests/wire'}",
        "REWILD_WIRE": str(folder / "wire.txt"),
        "NLTK_DATA": str(folder / "nltk"),
        "HOME": str(folder),
    }
    return subprocess.run(
        [str(interpreter(ENVIRONMENT)), *arguments],
        cwd=folder,
        env=os.environ | own | environment,
        text=True,
        capture_output=True,
        check=False,
    )


Study = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Path:
    """Models, a configuration and questions: everything but a study."""
    if not (ROOT / ".envs/lm-eval-cpu/ready").exists():
        pytest.skip("needs lm-eval: .envs/lm-eval-cpu is not built (snakemake .envs/lm-eval-cpu/ready)")
    folder = tmp_path_factory.mktemp("lm-eval")
    made = subprocess.run(
        [str(PYTHON), "-c", MAKE, str(folder)], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    (folder / "config/studies").mkdir(parents=True)
    for name in ("config.yaml", "models.yaml", "benchmarks.yaml"):
        (folder / "config" / name).write_text((ROOT / "config" / name).read_text(encoding="utf-8"))
    for name in ("tiny", "mute"):
        (folder / "results/mine/models").mkdir(parents=True, exist_ok=True)
        (folder / name).rename(folder / "results/mine/models" / name)
    released = {
        "bbh": "suzgunmirac/BIG-Bench-Hard/*/bbh/*.json",
        "musr": "Zayne-sprague/MuSR/*/viewer/small_datasets/*.json",
        "math": "mlfoundations/evalchemy/*/eval/*/MATH500/data/*.jsonl",
        "ifeval": "mlfoundations/evalchemy/*/eval/*/IFEval/data/*.jsonl",
    }
    for benchmark, pattern in released.items():
        convert(benchmark, sorted(mirror.glob(pattern)), folder / "questions" / benchmark)
    # Real prompts of IFEval, among the first ones some that count sentences.
    file = folder / "questions/ifeval/leaderboard_ifeval/train.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    counting = [row for row in rows if set(NEEDED) & set(row["instruction_id_list"])]
    others = [row for row in rows if not set(NEEDED) & set(row["instruction_id_list"])]
    write_rows(file, counting[:3] + others[:20])
    sums = [
        {"question": f"What is {i} + {i}?", "answer": f"It is {2 * i}.\n#### {2 * i}"} for i in range(1, 6)
    ]
    for split in ("train", "test"):
        write_rows(folder / f"questions/gsm8k/gsm8k/{split}.jsonl", sums)
    return folder


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def run(workspace: Path) -> Study:
    """Evaluate a run of a study with these settings."""

    def evaluate(run: str, **evaluation: Any) -> subprocess.CompletedProcess[str]:
        made = {"hidden_size": 64, "heads": 4, "learns": "plain"}
        settings = {
            "benchmarks": list(SETTINGS),
            "settings": SETTINGS,
            "limit": PER_TASK,
            "sentences": "stand-in",
            "max_length": 4096,
        } | evaluation
        study = {
            "title": "Tiny models",
            "source": "computed",
            "demo": {"models": {"tiny": made, "mute": made}},
            "runs": {"tiny": {"model": "tiny"}, "mute": {"model": "mute"}},
            "evaluation": settings,
        }
        (workspace / "config/studies/mine.yaml").write_text(yaml.safe_dump(study))
        return lm_eval(
            "-W", "ignore", "-m", "rewild", "evaluate", "mine", run, "--threads", "1", folder=workspace
        )

    return evaluate


@pytest.fixture(scope="module")
def evaluated(workspace: Path, run: Study) -> Path:
    done = run("tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "tiny: " + ", ".join(
        f"{slug} {'shared' if slug == 'ifeval-loose' else 'ran'}" for slug in SETTINGS
    )
    assert "tiny, bbh: 48 questions in" in done.stderr  # progress, with the time
    return workspace / "results/mine/benchmarks/tiny"


def samples_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def score(folder: Path, benchmark: str) -> tuple[dict[str, Any], pl.DataFrame]:
    names: dict[str, Any] = {"study": "mine", "run": folder.name, "model": "tiny", "max_empty": 0.5}
    row = write(folder / benchmark, metric=METRICS[benchmark], **names)
    return row, pl.read_parquet(folder / benchmark / "items.parquet")


def test_every_leaf_of_the_real_groups_runs_offline(evaluated: Path) -> None:
    parts = {slug: results_of(evaluated / slug)["parts"] for slug in SETTINGS}
    assert {slug: len(found) for slug, found in parts.items()} == {
        "bbh": 24,
        "musr": 3,
        "math": 7,
        "ifeval": 1,
        "ifeval-loose": 1,
        "gsm8k": 1,
    }
    assert all(part["asked"] == PER_TASK for slug in ("bbh", "musr", "math") for part in parts[slug].values())
    assert parts["bbh"]["leaderboard_bbh_snarks"]["questions"] == 178
    assert {part["fewshot"] for part in parts["bbh"].values()} == {3}
    assert {part["fewshot"] for part in parts["math"].values()} == {4}
    assert parts["math"]["leaderboard_math_algebra_hard"]["questions"] == 30  # of 500, those of level 5
    assert parts["gsm8k"]["gsm8k"]["fewshot"] == 2


def test_questions_are_asked_in_the_models_chat_template(evaluated: Path) -> None:
    bbh = samples_of(evaluated / "bbh")[0]
    assert bbh["prompt"].count("<|user|>") == 4  # three worked examples as turns, and the question
    assert bbh["prompt"].endswith("<|assistant|>\n")
    assert bbh["doc"]["input"] in bbh["prompt"]
    hashes = {results_of(evaluated / slug)["chat_template"] for slug in SETTINGS}
    assert len(hashes) == 1
    assert len(str(hashes.pop())) == 64


def test_choices_are_scored_as_the_leaderboard_does(evaluated: Path) -> None:
    """An oracle of our own: acc_norm takes the choice whose log-likelihood per character is highest."""
    row, items = score(evaluated, "bbh")
    by_item = {(part, item): value for part, item, value in items.select("part", "item", "score").rows()}
    right = []
    for sample in samples_of(evaluated / "bbh"):
        choices = [text.removeprefix(" ") for text in sample["continuations"]]
        per_character = [a[0][0] / len(c) for a, c in zip(sample["answers"], choices, strict=True)]
        chosen = choices[per_character.index(max(per_character))]
        right.append(float(chosen == sample["doc"]["target"]))
        assert by_item[sample["task"], str(sample["doc_id"])] == right[-1]
    assert row["value"] == pytest.approx(sum(right) / len(right))
    assert (row["n"], row["attempted"], row["empty"]) == (48, 48, None)
    # Pooled over 24 tasks of two: the root of their variances, weighted by size.
    variances = [
        sum((x - sum(pair) / 2) ** 2 for x in pair) for pair in zip(right[::2], right[1::2], strict=True)
    ]
    assert row["stderr"] == pytest.approx((sum(variances) / (48 - 24) / 48) ** 0.5)


def test_instructions_are_checked_and_counted(evaluated: Path) -> None:
    row, items = score(evaluated, "ifeval")
    assert (row["n"], items.height) == (12, 12)
    assert row["stderr"] is not None
    assert "stand-in for punkt_tab" in row["version"]
    assert "12 of 23 questions" in row["version"]
    for sample in samples_of(evaluated / "ifeval"):
        names, kept = sample["doc"]["instruction_id_list"], sample["metrics"]["inst_level_strict_acc"]
        if "punctuation:no_comma" in names:  # an oracle of our own for one kind
            answer = sample["answers"][0][0]
            expected = "," not in answer and bool(answer.strip())
            assert kept[names.index("punctuation:no_comma")] == expected
    loose, _ = score(evaluated, "ifeval-loose")
    assert loose["benchmark"] == "ifeval-loose"
    assert loose["stderr"] is None
    assert loose["value"] >= row["value"] - 1e-9


def test_other_tasks_score_too(evaluated: Path) -> None:
    for benchmark, count in (("musr", 6), ("math", 14), ("gsm8k", 2)):
        row, items = score(evaluated, benchmark)
        assert row["n"] == row["attempted"] == items.height == count
        assert 0 <= row["value"] <= 1
    assert row["metric"] == "exact_match,strict-match"
    gsm8k = samples_of(evaluated / "gsm8k")
    assert {sample["filter"] for sample in gsm8k} == {"strict-match", "flexible-extract"}
    assert gsm8k[0]["prompt"].count("<|user|>") == 3


def stamps(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*.jsonl")}


def test_a_changed_row_reruns_its_benchmark_alone(evaluated: Path, run: Study) -> None:
    before = stamps(evaluated)
    done = run("tiny", compute={"batch": 4})  # how, not what
    assert done.returncode == 0, done.stderr
    assert "ran" not in done.stdout
    assert "loading the model" not in done.stderr
    assert stamps(evaluated) == before

    done = run("tiny", settings=SETTINGS | {"musr": SETTINGS["musr"] | {"limit": 1}})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ran") == 1
    assert "musr ran" in done.stdout
    after = stamps(evaluated)
    assert [name for name in after if after[name] != before[name]] == ["musr/samples.jsonl"]
    one = {sample["task"]: sample["answers"] for sample in samples_of(evaluated / "musr")}
    assert len(one) == 3


def test_a_model_that_says_nothing_has_no_score(workspace: Path, run: Study) -> None:
    done = run("mute", benchmarks=["ifeval", "gsm8k"], settings={k: SETTINGS[k] for k in ("ifeval", "gsm8k")})
    assert done.returncode == 0, done.stderr
    assert "mute, ifeval: 12 questions, 12 empty answers" in done.stderr
    folder = workspace / "results/mine/benchmarks/mute"
    for benchmark, count in (("ifeval", 12), ("gsm8k", 2)):
        row, items = score(folder, benchmark)
        assert row["value"] is None
        assert (row["n"], row["attempted"], row["empty"]) == (0, count, count)
        assert set(items["failure"]) == {f"{count} of {count} answers are empty"}


def test_what_is_wrong_with_the_questions_is_said_before_the_model_loads(workspace: Path, run: Study) -> None:
    rows = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "What is 2 + 2?", "answr": "4"}]
    write_rows(workspace / "questions/bad/gsm8k/test.jsonl", rows)
    bad = {"benchmarks": ["gsm8k"], "settings": {"gsm8k": {"files": "questions/bad"}}}
    done = run("mute", **bad)
    assert done.returncode == 1
    assert "bad/gsm8k/test.jsonl, line 2: 'answer' is missing; did you mean 'answr'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Loading weights" not in done.stderr

    ifeval = {"benchmarks": ["ifeval"], "settings": {"ifeval": SETTINGS["ifeval"]}, "seed": 1}
    done = run("mute", **ifeval, sentences="punkt_tab")
    assert done.returncode == 1
    assert "3 of 12 questions count sentences or words with nltk's data 'punkt_tab'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_was_asked_of_a_network(evaluated: Path, workspace: Path) -> None:
    """Of all the above: models and questions are folders, so no name was looked up and nobody was called."""
    wire = workspace / "wire.txt"
    assert not wire.exists(), wire.read_text(encoding="utf-8")
    call = "import socket\nsocket.getaddrinfo('a.example', 1)"
    lm_eval("-c", call, folder=workspace)
    assert wire.read_text(encoding="utf-8").startswith(
        "socket.getaddrinfo a.example"
    )  # it would have seen it
