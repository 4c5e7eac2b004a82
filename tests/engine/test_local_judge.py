"""Judges that are loaded here: a tiny model reads what an endpoint would be asked, through the one feed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")

from judging_workspace import Workspace, knowing  # noqa: E402
from rewild.config import load_benchmarks, load_models  # noqa: E402
from rewild.core.errors import ConfigError  # noqa: E402
from rewild.core.table import read_table  # noqa: E402
from rewild.engines.transformers_engine import TransformersEngine  # noqa: E402
from rewild.evaluation.judged.ask import judge  # noqa: E402
from rewild.evaluation.judged.estimate import estimate  # noqa: E402
from rewild.evaluation.judged.schema import JUDGMENTS  # noqa: E402
from rewild.evaluation.judged.score import score  # noqa: E402
from rewild.evaluation.judged.task import Tables, Task, make_task  # noqa: E402
from tiny import parrot  # noqa: E402

CPU = {"device": "cpu", "batch": 4}
LOCAL = {"engine": "transformers", "precision": "fp32", "compute": CPU}
ASKED = {"judge": "tiny-b", "limits": {"demo-chat": 2}}


@pytest.fixture(scope="module")
def says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A judge that always says 7, and one that says nothing of use."""
    folder = tmp_path_factory.mktemp("judges")
    return {
        "seven": parrot(folder / "seven", "Rating", ":", "[[", "7", "]]", context=16384),
        "prose": parrot(folder / "prose", "water", "light", context=16384),
    }


def workspace(root: Path, model: Path, **local: Any) -> Workspace:
    made = Workspace(root, {**ASKED, "local": LOCAL | local}, context=16384, batch=16384)
    shutil.copytree(model, root / "results/try/models/tiny-b", dirs_exist_ok=True)
    return made


def task_of(made: Workspace) -> Task:
    models = load_models(made.folder / "config", made.study)
    tables = Tables(load_benchmarks(made.folder / "config", models), models, {})
    task = make_task(made.study, "demo-chat", tables, made.results)
    files = {role: made.folder / path for role, path in task.files.items() if not path.is_absolute()}
    return replace(task, files=files)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The requests that reach an engine."""
    seen: list[Any] = []
    real = TransformersEngine.generate

    def generate(self: Any, requests: Any, sampling: Any) -> Any:
        seen.extend(requests)
        return real(self, requests, sampling)

    with monkeypatch.context() as patched:
        patched.setattr(TransformersEngine, "generate", generate)
        yield seen


def test_a_judge_that_is_loaded_here(
    tmp_path: Path, says: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = workspace(tmp_path, says["seven"])
    task = task_of(made)
    made.answer(task, "one", knowing)
    before = estimate(task, "one")
    assert (before.calls, before.done, before.price, before.most) == (4, 0, 0.0, 0.0)
    with counted(monkeypatch) as seen:
        spent = judge(task, "one")
    assert len(seen) == 4
    assert all(request.tokens for request in seen)  # rendered in its own template
    path = task.folder("one") / "judgments.parquet"
    rows = read_table(path, JUDGMENTS)
    assert rows["value"].to_list() == [7.0] * 4
    assert rows["failure"].null_count() == 4
    assert set(rows["judge"]) == {"tiny-b"}
    assert (spent.judgments, spent.failures, spent.price) == (4, {}, 0.0)
    assert spent.input_tokens == sum(len(request.tokens) for request in seen)
    found = score(task, "one").filter(metric="average", part="all").to_dicts()[0]
    assert (found["value"], found["n"], found["attempted"], found["judge"]) == (7.0, 4, 4, "tiny-b")

    # Again: nothing is asked, and the bytes are the same. How it is computed changes nothing either.
    bytes_before = path.read_bytes()
    path.unlink()
    made.write_study({**ASKED, "local": LOCAL | {"compute": CPU | {"batch": 2, "window": 3}}})
    with counted(monkeypatch) as seen:
        judge(task, "one")
        assert path.read_bytes() == bytes_before
        judge(replace(task, study=made.study), "one")
    assert not seen
    assert estimate(task, "one").done == 4

    # Another precision is another judge, and so are other weights.
    assert task.local is not None
    other = replace(task, local=replace(task.local, source=replace(task.local.source, precision="bf16")))
    assert estimate(other, "one").calls == 4
    (tmp_path / "results/try/models/tiny-b/more.json").write_text("{}")
    assert estimate(replace(task), "one").calls == 4


def test_a_judge_that_says_no_verdict_is_a_recorded_failure(
    tmp_path: Path, says: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = workspace(tmp_path, says["prose"])
    task = task_of(made)
    made.answer(task, "one", knowing)
    spent = judge(task, "one")
    rows = read_table(task.folder("one") / "judgments.parquet", JUDGMENTS)
    assert (rows.height, spent.judgments, spent.failures, spent.calls) == (4, 0, {"unclear": 4}, 12)
    assert set(rows["reply"]) == {"waterlight"}
    found = json.loads((task.folder("one") / "judging.json").read_text())
    assert found["failures"] == {"unclear": 4}


def test_a_prompt_that_is_too_long_is_a_recorded_failure_and_no_room_is_an_error(
    tmp_path: Path, says: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = workspace(tmp_path, says["seven"], context=2048 + 64)
    task = task_of(made)
    made.answer(task, "one", knowing)
    spent = judge(task, "one")
    assert (spent.judgments, spent.failures, spent.calls) == (0, {"too_long": 4}, 0)
    none = workspace(tmp_path, says["seven"], context=2048)
    said = r"study try: judging.local.context: replies of 2048 tokens leave no room for a prompt in 2048"
    with pytest.raises(ConfigError, match=said):
        judge(task_of(none), "one")
