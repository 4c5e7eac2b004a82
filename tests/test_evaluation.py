"""Ground-truth benchmarks without a model: settings, questions from files, what is kept, and scores."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.cli.evaluation import pin_benchmarks
from rewild.config import load_benchmarks
from rewild.config.base import validate
from rewild.config.models import load_models
from rewild.config.study import Study
from rewild.demo.world import load_material, questions
from rewild.errors import ConfigError, DataError, RewildError
from rewild.evaluation import demo, sentences
from rewild.evaluation.evaluate import evaluate, read_results
from rewild.evaluation.harness import Settings, model_arguments
from rewild.evaluation.pins import commits, hub_url, pinnable
from rewild.evaluation.questions import RELEASED, check_rows, convert, override, pin, splits_of
from rewild.evaluation.recipe import (
    Task,
    check_evaluation,
    evaluated,
    gpus_of,
    settings_of,
    target_of,
    tasks_of,
)
from rewild.evaluation.score import score, why_no_score, write
from rewild.locks import locked
from rewild.scores.tidy import ITEMS, SCORES
from rewild.table import read_table

ROOT = Path(__file__).resolve().parent.parent
ONE = Task("one", "task_one", None, 0, None, None, None, "owner/one", None, ("question",), runs_code=False)


def study(**evaluation: Any) -> Study:
    given = {
        "name": "mine",
        "title": "A study",
        "source": "computed",
        "runs": {"q7": {"model": "qwen2-7b-instruct"}, "l8": {"model": "llama-3.1-8b-instruct"}},
        "evaluation": {"benchmarks": ["bbh", "ifeval", "ifeval-loose"], **evaluation},
    }
    return validate(Study, given, "study mine")


@pytest.fixture(scope="module")
def tables(root: Path):
    models = load_models(root / "config")
    return load_benchmarks(root / "config", models), models


# Settings


def test_the_settings_of_a_benchmark_lie_over_the_studys(tables) -> None:
    mine = study(limit=5, settings={"bbh": {"fewshot": 2, "limit": 7}})
    bbh, ifeval, loose = tasks_of(mine, tables[0])
    assert (bbh.name, bbh.fewshot, bbh.limit) == ("leaderboard_bbh", 2, 7)
    assert (ifeval.fewshot, ifeval.limit, ifeval.dataset) == (0, 5, "wis-k/instruction-following-eval")
    # Two metrics of one task: the same results.
    assert ifeval.identity() == loose.identity()
    assert ifeval.identity() != bbh.identity()


def test_what_reruns_a_job_and_what_does_not(tables) -> None:
    base = settings_of(study(), "q7", *tables)
    assert settings_of(study(compute={"batch": 4, "threads": 2, "minutes": 9}), "q7", *tables) == base
    assert settings_of(study(max_empty=0.1), "q7", *tables) == base  # scoring only
    for change in ({"limit": 3}, {"seed": 1}, {"precision": "bf16"}, {"sentences": "stand-in"}):
        assert settings_of(study(**change), "q7", *tables) != base, change
    assert settings_of(study(), "l8", *tables) != base
    one = json.loads(settings_of(study(settings={"bbh": {"fewshot": 1}}), "q7", *tables))["benchmarks"]
    before = json.loads(base)["benchmarks"]
    assert [slug for slug in before if one[slug] != before[slug]] == ["bbh"]


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"benchmarks": ["bhb"]}, "evaluation.benchmarks: unknown benchmark 'bhb'; did you mean 'bbh'?"),
        ({"settings": {"musr": {}}}, "settings: 'musr' is not among the benchmarks"),
        ({"benchmarks": ["bbh", "bbh"]}, "benchmarks: 'bbh' stands twice"),
        ({"runs": ["q8"]}, "evaluation.runs: 'q8' is not among its runs; did you mean"),
        ({"backend": "vllm"}, "backend vllm needs compute.gpu"),
        ({"benchmarks": ["mbpp-lm-eval"]}, "runs programs that the model wrote"),
        ({"benchmarks": ["demo-knowledge"]}, "give evaluation.settings.demo-knowledge.files, a folder"),
        ({"limits": 3}, "unknown key 'evaluation.limits'; did you mean 'limit'?"),
        ({"max_empty": 2.0}, "evaluation.max_empty"),
    ],
)
def test_mistakes_are_found_on_a_dry_run(tables, evaluation, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_evaluation(study(**evaluation), *tables)
    assert message in str(error.value)
    assert str(error.value).startswith("study mine")


def test_judged_benchmarks_are_left_to_their_judges(tables) -> None:
    mine = study(benchmarks=["mt-bench", "bbh"])
    check_evaluation(mine, *tables)
    assert [task.benchmark for task in tasks_of(mine, tables[0])] == ["bbh"]
    with pytest.raises(ConfigError, match="'mt-bench' is not run by lm-eval"):
        check_evaluation(study(benchmarks=["mt-bench"], settings={"mt-bench": {"limit": 1}}), *tables)


def test_programs_run_only_with_permission(tables) -> None:
    (task,) = tasks_of(study(benchmarks=["mbpp-lm-eval"], allow_code=True), tables[0])
    assert task.runs_code


def test_gpus_and_what_the_model_is_loaded_with(tables) -> None:
    mine = study(backend="vllm", compute={"gpu": "H100-80"})
    target = target_of(mine, "q7", tables[1])
    assert gpus_of(mine, target) == 1
    assert gpus_of(study(), target) == 0
    vllm = model_arguments(target, Settings("vllm", "bf16", 2, seed=50, max_length=4096, memory_share=0.8))
    assert vllm == {
        "pretrained": "Qwen/Qwen2-7B-Instruct",
        "dtype": "bfloat16",
        "trust_remote_code": False,
        "tensor_parallel_size": 2,
        "seed": 50,
        "max_model_len": 4096,
        "batch_size": "auto",
        "gpu_memory_utilization": 0.8,
    } | ({"revision": target.revision} if target.revision else {})
    local = replace(target, path="results/x", local=True, revision=None)
    hf = model_arguments(local, Settings("hf", "fp32", 0, seed=50))
    assert hf["pretrained"] == str(Path("results/x").resolve())  # a relative one is taken for a hub id
    assert (hf["device"], hf["dtype"], hf["batch_size"]) == ("cpu", "float32", 8)
    assert evaluated(mine) == ["q7", "l8"]


# Questions


def test_real_files_become_the_rows_that_the_tasks_read(mirror: Path, tmp_path: Path) -> None:
    def released(pattern: str) -> list[Path]:
        return sorted(mirror.glob(pattern))

    bbh = convert("bbh", released("suzgunmirac/BIG-Bench-Hard/*/bbh/*.json"), tmp_path / "bbh")
    assert len(bbh) == 24  # 27 tasks, of which the leaderboard leaves three out
    assert bbh["leaderboard_bbh_snarks"] == 178
    assert sum(bbh.values()) == 5761
    musr = convert("musr", released("Zayne-sprague/MuSR/*/viewer/small_datasets/*.json"), tmp_path / "musr")
    assert musr == {
        "leaderboard_musr_murder_mysteries": 5,
        "leaderboard_musr_object_placements": 20,
        "leaderboard_musr_team_allocation": 5,
    }
    rows = tmp_path / "musr/leaderboard_musr_murder_mysteries/murder_mysteries.jsonl"
    first = json.loads(rows.read_text(encoding="utf-8").splitlines()[0])
    assert first["choices"] == "['Mackenzie', 'Ana']"
    assert first["answer_choice"] == "Mackenzie"
    maths = convert(
        "math", released("mlfoundations/evalchemy/*/eval/*/MATH500/data/*.jsonl"), tmp_path / "math"
    )
    assert sum(maths.values()) == 500
    assert len(maths) == 7
    levels = [
        json.loads(line)["level"]
        for file in (tmp_path / "math").glob("*/test.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert levels.count("Level 5") == 134  # of Lightman et al.'s 500
    ifeval = convert(
        "ifeval", released("mlfoundations/evalchemy/*/eval/*/IFEval/data/*.jsonl"), tmp_path / "if"
    )
    assert ifeval == {"leaderboard_ifeval": 541}


def test_bad_released_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "snarks.json"
    file.write_text('{"examples": [{"input": "a", "target": "b"}, {"input": "a"}]}')
    with pytest.raises(DataError, match=r"snarks.json, example 2: 'target' is missing .it has: input"):
        convert("bbh", [file], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="unknown benchmark 'bhb'; did you mean 'bbh'"):
        convert("bhb", [file], tmp_path / "out")
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        convert("bbh", [file], tmp_path / "out")
    with pytest.raises(DataError, match="no question of bbh"):
        convert("bbh", [], tmp_path / "out")
    assert sorted(RELEASED) == ["bbh", "ifeval", "math", "musr"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "?"}\n{"questoin": "?"}\n', "line 2: 'question' is missing; did you mean 'questoin'?"),
        ('{"question": null}\n', "line 1: 'question' is missing"),
        ('{"question": "?"}\n[1]\n', "line 2: an object was expected, not list"),
        ('{"question": "?"\n', "line 1: not JSON"),
        ("\n", "no questions in it"),
    ],
)
def test_questions_that_cannot_be_asked_are_named_by_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(text)
    with pytest.raises(DataError) as error:
        check_rows(file, ["question"])
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_a_task_without_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "task_one").mkdir()
    (tmp_path / "task_one/test.jsonl").write_text("{}\n")
    assert splits_of(tmp_path, "task_one") == {"test": tmp_path / "task_one/test.jsonl"}
    with pytest.raises(DataError, match=r"no questions of task_on .*did you mean 'task_one'"):
        splits_of(tmp_path, "task_on")


def test_definitions_point_lm_eval_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    override("task_one", Path("/lm_eval/one.yaml"), {"test": file}, tmp_path / "made")
    made = json.loads((tmp_path / "made/task_one.yaml").read_text())
    assert made == {
        "include": "/lm_eval/one.yaml",
        "task": "task_one",
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str(file)}},
    }
    pin("task_one", Path("/lm_eval/one.yaml"), "0" * 40, tmp_path / "pinned")
    pinned = json.loads((tmp_path / "pinned/task_one.yaml").read_text())
    assert pinned["dataset_kwargs"] == {"revision": "0" * 40}
    assert "dataset_path" not in pinned


def test_the_hubs_commits_are_read_and_checked(tables, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, tuple[int, str]] = {}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        for row in pinnable(tables[0]):
            sha = f"{len(answers):040x}"
            answers.setdefault(f"/api/datasets/{row.dataset}/revision/main", (200, f'{{"sha": "{sha}"}}'))
        pin_benchmarks(ROOT / "config")
        said = capsys.readouterr().out
        assert f"bbh:\n  revision: {0:040x} # SaylorTwift/bbh; not pinned" in said
        assert said.count("wis-k/instruction-following-eval") == 2  # two rows, one data set
        answers["/api/datasets/TAUR-Lab/MuSR/revision/main"] = (200, '{"sha": "main"}')
        with pytest.raises(RewildError, match=r"data set TAUR-Lab/MuSR: 'main' of .* is no commit"):
            commits(["TAUR-Lab/MuSR"], hub_url())
        with pytest.raises(RewildError, match=r"data set a/b: the hub gives no commit at .*HTTP 404"):
            commits(["a/b"], hub_url())
    finally:
        server.shutdown()
        server.server_close()


def test_punkt_is_asked_for_only_where_it_is_needed() -> None:
    plain = [{"instruction_id_list": ["punctuation:no_comma"]}, {"question": "?"}]
    assert sentences.check(plain, "punkt_tab", False, "ifeval") is None
    needs = [*plain, {"instruction_id_list": ["length_constraints:number_sentences"]}]
    assert sentences.check(needs, "punkt_tab", True, "ifeval") == "punkt_tab"
    assert sentences.check(needs, "stand-in", True, "ifeval") == "punkt_tab"
    assert sentences.check(needs, "stand-in", False, "ifeval") == "stand-in for punkt_tab"
    with pytest.raises(DataError, match=r"ifeval: 1 of 3 questions .*punkt_tab.*nltk.downloader"):
        sentences.check(needs, "punkt_tab", False, "ifeval")


def test_the_demos_questions_follow_from_its_world(root: Path, tmp_path: Path) -> None:
    material = load_material(root / "resources/demo/text.yaml")
    counts = demo.make_questions(material, tmp_path)
    assert counts == {"demo_knowledge/test.jsonl": 172, "leaderboard_ifeval/train.jsonl": 96}
    known = {question.id: question for question in questions(material)}
    for line in (tmp_path / "demo_knowledge/test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert known[row["id"]].answer in row["choices"][row["answer"]]
        assert len(set(row["choices"])) == 4
        assert not any(mark in choice for choice in row["choices"] for mark in "⟦⟧")
    rows = [
        json.loads(line)
        for line in (tmp_path / "leaderboard_ifeval/train.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [row["key"] for row in rows] == list(range(96))
    assert all(len(row["instruction_id_list"]) == len(row["kwargs"]) for row in rows)
    assert sum(len(row["kwargs"]) == 2 for row in rows) > 20
    assert sentences.check(rows, "punkt_tab", False, "demo") is None
    before = (tmp_path / "demo_knowledge/test.jsonl").read_bytes()
    demo.make_questions(material, tmp_path)
    assert (tmp_path / "demo_knowledge/test.jsonl").read_bytes() == before


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
