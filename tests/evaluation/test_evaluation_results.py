"""What lm-eval says is kept or run again, and scored: without lm-eval."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.errors import DataError, RewildError
from rewild.core.locks import locked
from rewild.core.table import read_table
from rewild.evaluation.harness.evaluate import evaluate, read_results
from rewild.evaluation.harness.score import score, why_no_score, write
from rewild.evaluation.harness.settings import Task
from rewild.evaluation.scores.tidy import ITEMS, SCORES

ONE = Task("one", "task_one", None, 0, None, None, None, "owner/one", None, ("question",), runs_code=False)


# What is kept


@dataclass
class Said:
    summary: dict[str, Any]
    samples: list[dict[str, Any]]


def summary(**over: Any) -> dict[str, Any]:
    part = {
        "version": 1.0,
        "fewshot": 0,
        "questions": 4,
        "asked": 4,
        "empty": None,
        "longest_answer": None,
        "not_finite": 0,
        "truncated": 0,
    }
    return {
        "benchmark": "one",
        "task": "task_one",
        "engine": "lm-eval hf (torch 2, fp32)",
        "harness": "lm-eval 0.4.13",
        "seed": 50,
        "limit": None,
        "chat_template": None,
        "sentences": None,
        "questions": "0" * 64,
        "context": 512,
        "parts": {"task_one": part},
        "metrics": {"task_one": {"acc,none": 0.75, "acc_stderr,none": 0.25}},
    } | over


def samples(values: list[Any], task: str = "task_one", name: str = "acc") -> list[dict[str, Any]]:
    return [
        {"task": task, "doc_id": i, "filter": "none", "metrics": {name: value}}
        for i, value in enumerate(values)
    ]


class Fake:
    """Stands where the harness does; counts what it is asked for."""

    def __init__(self, fail: str | None = None) -> None:
        self.ran: list[str] = []
        self.loaded: list[list[str]] = []
        self.closed = 0
        self.fail = fail

    def open(self, scratch: Path, missing) -> Fake:
        assert scratch.is_dir()
        self.loaded.append([task.benchmark for task in missing])
        return self

    def close(self) -> None:
        self.closed += 1

    def run(self, task: Task) -> Said:
        if task.benchmark == self.fail:
            raise DataError(f"{task.benchmark} breaks")
        self.ran.append(task.benchmark)
        return Said(summary(benchmark=task.benchmark, task=task.name), samples([1.0, 1.0, 1.0, 0.0]))


TASKS = [
    ONE,
    replace(ONE, benchmark="two", name="task_two"),
    replace(ONE, benchmark="three", name="task_three"),
]
SHARED = {"model": "m", "seed": 50}


def stamps(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*.json*")}


def test_only_what_changed_is_run_again(tmp_path: Path) -> None:
    fake = Fake()
    assert evaluate("run", TASKS, SHARED, tmp_path, fake.open) == dict.fromkeys(
        ("one", "two", "three"), "ran"
    )
    before, listed = stamps(tmp_path), (tmp_path / "lm-eval.json").read_bytes()
    assert set(evaluate("run", TASKS, SHARED, tmp_path, fake.open).values()) == {"kept"}
    assert len(fake.loaded) == 1  # no model for nothing
    assert stamps(tmp_path) == before
    assert (tmp_path / "lm-eval.json").read_bytes() == listed

    changed = [TASKS[0], replace(TASKS[1], fewshot=3), TASKS[2]]
    done = evaluate("run", changed, SHARED, tmp_path, fake.open)
    assert done == {"one": "kept", "two": "ran", "three": "kept"}
    assert fake.loaded[-1] == ["two"]
    after = stamps(tmp_path)
    assert {name.split("/")[0] for name in after if after[name] != before[name]} == {"two"}
    # Another model, seed or version is another result.
    assert set(evaluate("run", changed, SHARED | {"seed": 1}, tmp_path, fake.open).values()) == {"ran"}


def test_two_metrics_of_one_task_share_its_answers(tmp_path: Path) -> None:
    fake = Fake()
    tasks = [ONE, replace(ONE, benchmark="one-loose")]
    assert evaluate("run", tasks, SHARED, tmp_path, fake.open) == {"one": "ran", "one-loose": "shared"}
    assert fake.ran == ["one"]
    assert read_results(tmp_path / "one-loose")["benchmark"] == "one-loose"
    assert (tmp_path / "one/samples.jsonl").read_bytes() == (
        tmp_path / "one-loose/samples.jsonl"
    ).read_bytes()


def test_a_job_that_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    broken = Fake(fail="two")
    with pytest.raises(DataError, match="two breaks"):
        evaluate("run", TASKS, SHARED, tmp_path, broken.open)
    assert broken.closed == 1  # a GPU is given back also then
    assert not (tmp_path / "lm-eval.json").exists()
    assert not (tmp_path / "two").exists()
    fake = Fake()
    done = evaluate("run", TASKS, SHARED, tmp_path, fake.open)
    assert done == {"one": "kept", "two": "ran", "three": "ran"}


def test_damaged_results_are_run_again_or_named(tmp_path: Path) -> None:
    evaluate("run", TASKS, SHARED, tmp_path, Fake().open)
    (tmp_path / "one/samples.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"not the file that .*results.json was written with"):
        read_results(tmp_path / "one")
    (tmp_path / "two/results.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        read_results(tmp_path / "two")
    with pytest.raises(DataError, match=r"no such file; remove .*lm-eval.json"):
        read_results(tmp_path / "four")
    fake = Fake()
    evaluate("run", TASKS, SHARED, tmp_path, fake.open)
    assert fake.ran == ["one", "two"]


def test_a_change_of_a_file_of_questions_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "questions/task_one/test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"question": "a"}\n')
    tasks = [replace(ONE, files=str(tmp_path / "questions"))]
    fake = Fake()
    evaluate("run", tasks, SHARED, tmp_path / "out", fake.open)
    file.write_text('{"question": "b"}\n')
    evaluate("run", tasks, SHARED, tmp_path / "out", fake.open)
    assert fake.ran == ["one", "one"]
    with pytest.raises(DataError, match="benchmark one: there is no folder"):
        evaluate("run", [replace(ONE, files="nowhere")], SHARED, tmp_path / "out", fake.open)


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    class Slow(Fake):
        def run(self, task: Task) -> Said:
            inside.set()
            leave.wait(30)
            return super().run(task)

    first = threading.Thread(target=evaluate, args=("run", [ONE], SHARED, tmp_path, Slow().open))
    first.start()
    try:
        assert inside.wait(30)
        with pytest.raises(RewildError, match="another process is evaluating this run"):
            evaluate("run", [ONE], SHARED, tmp_path, Fake().open)
    finally:
        leave.set()
        first.join()
    assert read_results(tmp_path / "one")["metrics"]["task_one"]["acc,none"] == 0.75
    with locked(tmp_path / ".lm-eval", "evaluating this run"):
        pass  # given back


# Scores


def stored(folder: Path, found: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    class Given(Fake):
        def run(self, task: Task) -> Said:
            return Said(found, rows)

    evaluate("run", [replace(ONE, benchmark=found["benchmark"])], SHARED, folder, Given().open)
    return folder / found["benchmark"]


NAMES: dict[str, Any] = {"study": "mine", "run": "run", "model": "m", "max_empty": 0.5}


def two_parts(**over: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A group of two tasks of three and one questions; lm-eval pools them by size."""
    part = summary()["parts"]["task_one"]
    found = summary(
        task="group",
        parts={"a": part | {"asked": 3, "questions": 9} | over, "b": part | {"asked": 1, "questions": 1}},
        metrics={
            "group": {"acc_norm,none": 0.5, "acc_norm_stderr,none": 0.2},
            "a": {"acc_norm,none": 1 / 3, "acc_norm_stderr,none": 1 / 3},
            "b": {"acc_norm,none": 1.0, "acc_norm_stderr,none": None},
        },
    )
    return found, samples([1.0, 0.0, 0.0], "a", "acc_norm") + samples([1.0], "b", "acc_norm")


def test_a_group_is_scored_whole_and_in_parts(tmp_path: Path) -> None:
    folder = stored(tmp_path, *two_parts())
    row = write(folder, metric="acc_norm,none", **NAMES)
    scores, items = read_table(folder / "scores.csv", SCORES), read_table(folder / "items.parquet", ITEMS)
    told = scores.select("part", "value", "stderr", "n", "attempted", "empty").rows()
    assert told == [
        ("all", 0.5, 0.2, 4, 4, None),  # size-weighted: (3 · 1/3 + 1 · 1) / 4
        ("a", pytest.approx(1 / 3), pytest.approx(1 / 3), 3, 3, None),
        ("b", 1.0, None, 1, 1, None),
    ]
    assert row["value"] == 0.5
    assert items.height == 4
    assert items["score"].mean() == pytest.approx(0.5)
    version = scores["version"][0]
    assert "lm-eval 0.4.13" in version
    assert "4 of 10 questions" in version
    assert scores["engine"][0].startswith("lm-eval hf")


def test_a_number_that_is_not_its_questions_mean_is_refused(tmp_path: Path) -> None:
    found, rows = two_parts()
    found["metrics"]["group"]["acc_norm,none"] = 2 / 3  # unweighted by size
    folder = stored(tmp_path, found, rows)
    with pytest.raises(DataError, match=r"acc_norm,none of group is 0.666.*mean of its 4 questions is 0.5"):
        score(folder, metric="acc_norm,none", **NAMES)


def test_a_model_that_answers_nothing_has_no_score(tmp_path: Path) -> None:
    part = summary()["parts"]["task_one"] | {"empty": 4, "longest_answer": 100}
    folder = stored(tmp_path, summary(parts={"task_one": part}), samples([1.0, 1.0, 1.0, 0.0]))
    row = write(folder, metric="acc,none", **NAMES)
    assert (row["value"], row["stderr"], row["n"], row["attempted"], row["empty"]) == (None, None, 0, 4, 4)
    items = read_table(folder / "items.parquet", ITEMS)
    assert items["failure"].unique().to_list() == ["4 of 4 answers are empty"]
    # Half of them empty: scored, and said.
    part["empty"] = 2
    folder = stored(tmp_path / "half", summary(parts={"task_one": part}), samples([1.0, 1.0, 1.0, 0.0]))
    row = write(folder, metric="acc,none", **NAMES)
    assert (row["value"], row["n"], row["empty"]) == (0.75, 4, 2)


def test_numbers_that_are_none_are_no_score() -> None:
    assert why_no_score(summary(), 0.5) is None
    part = summary()["parts"]["task_one"] | {"not_finite": 3}
    assert "3 of 4 questions" in str(why_no_score(summary(parts={"task_one": part}), 0.5))


def test_instructions_are_pooled_and_have_no_standard_error(tmp_path: Path) -> None:
    rows = samples([[True, False], [True]], name="inst_level_loose_acc")
    part = summary()["parts"]["task_one"] | {"asked": 2, "empty": 0, "longest_answer": 9}
    metrics = {"task_one": {"inst_level_loose_acc,none": 2 / 3, "inst_level_loose_acc_stderr,none": None}}
    folder = stored(tmp_path, summary(parts={"task_one": part}, metrics=metrics), rows)
    scores, items = score(folder, metric="inst_level_loose_acc,none", **NAMES)
    assert scores["value"].to_list() == [pytest.approx(2 / 3)]
    assert scores["stderr"].to_list() == [None]
    assert items["score"].to_list() == [0.5, 1.0]


def test_a_metric_that_the_task_lacks_is_named(tmp_path: Path) -> None:
    folder = stored(tmp_path, summary(), samples([1.0, 1.0, 1.0, 0.0]))
    with pytest.raises(DataError, match=r"no metric 'accc,none'; did you mean 'acc,none'"):
        score(folder, metric="accc,none", **NAMES)
    with pytest.raises(DataError, match=r"no answer was filtered by 'strict', .*filters: none"):
        score(folder, metric="acc,strict", **NAMES)


@pytest.mark.heavy
@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(1, 5))
def test_scores_are_the_mean_of_their_items(tmp_path_factory, values: list[bool], parts: int) -> None:
    names = [f"t{i}" for i in range(parts)]
    rows = [
        row for i, name in enumerate(names) for row in samples([float(v) for v in values[i:]] or [0.0], name)
    ]
    means = {}
    for name in names:
        mine = [row["metrics"]["acc"] for row in rows if row["task"] == name]
        means[name] = {"acc,none": math.fsum(mine) / len(mine), "acc_stderr,none": None}
    whole = math.fsum(row["metrics"]["acc"] for row in rows) / len(rows)
    part = summary()["parts"]["task_one"]
    found = summary(
        task="group" if parts > 1 else "t0",
        parts={n: part | {"asked": sum(r["task"] == n for r in rows)} for n in names},
        metrics=(means | {"group": {"acc,none": whole, "acc_stderr,none": None}}) if parts > 1 else means,
    )
    folder = stored(tmp_path_factory.mktemp("scores"), found, rows)
    row = write(folder, metric="acc,none", **NAMES)
    assert row["n"] == len(rows)
    items = pl.read_parquet(folder / "items.parquet")
    assert row["value"] == pytest.approx(items["score"].mean())
