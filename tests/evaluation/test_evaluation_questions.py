"""Questions of ground-truth benchmarks: released files, the hub, nltk's sentences, the demo's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewild.core.errors import ConfigError, DataError
from rewild.evaluation.harness import sentences
from rewild.evaluation.harness.questions import RELEASED, check_rows, convert, override, pin, splits_of
from rewild.operate.demo import tasks as demo
from rewild.operate.demo.world import load_material, questions

ROOT = Path(__file__).resolve().parents[2]


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
    with pytest.raises(DataError, match="not JSON"):
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
        ('{"question": "?"\n', "line 1, column 17: not JSON"),
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
