"""Filters of mixes over measures: what each leaves out, in which order, and what a card says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixes_data import conversation, name_of, write_prompts, write_responses
from rewild.config.base import identity, validate
from rewild.config.measures.base import Value
from rewild.config.measures.conditions import Condition, check_condition
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.measures import contract
from rewild.core.table import about_table, read_table, write_table
from rewild.prompts.filters import meets
from rewild.training.mixes.build import build, sources_frame
from rewild.training.mixes.card import write_card
from rewild.training.mixes.read import Place
from rewild.training.mixes.schema import SOURCES, TRAIN

MEASURES = {
    "length": {"kind": "length"},
    "reward": {"kind": "reward", "model": "o/m", "revision": "a" * 40},
    "language": {"kind": "language", "of": "prompts"},
    "refusal": {"kind": "refusal"},
}


def a_study(conditions: list[dict[str, Any]], **more: Any) -> Study:
    mix = {"sources": [{"kind": "responses", "model": "a"}], "filters": {"measures": conditions}} | more
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    sections = {"responses": {"engine": "transformers", "models": ["a"]}, "measures": MEASURES}
    return validate(Study, given | sections | {"mixes": {"m": mix}}, "study s")


def measured_file(root: Path, name: str, subject: str, form: str, rows: list[tuple[Any, ...]]) -> Path:
    """A measure with one column, of its own name or `value`: (conversation, turn, value)."""
    column = {"length": "words", "refusal": "explicit"}.get(name, name)
    schema = contract({column: (form, "")})
    whole = [(name_of(c), t, 0, v, None if v is not None else "odd: so") for c, t, v in rows]
    path = root / f"results/s/measures/{name}/{subject}/all.parquet"
    said = {"settings": {"measure": name, "subject": subject, "digest": f"of {name}"}}
    write_table(path, pl.DataFrame(whole, schema=schema.dtypes, orient="row"), schema, said)
    return path


def make(root: Path, study: Study, files: list[Path]) -> tuple[set[str], dict[str, int], dict[str, Any]]:
    """The conversations of the mix, what became of the others, and its card."""
    results, folder = root / "results/s", root / "results/s/mixes/m"
    place = Place(root, results, study.measures, files)
    outcomes = build("m", study.mixes["m"], place, folder, study="s", seed=7)
    table = SOURCES.check(sources_frame(outcomes), "sources")
    assert table.filter(~pl.col("outcome").is_in(["read"]))["conversations"].sum() == outcomes["a"]["read"]
    card = write_card(folder, "m", study, outcomes, models={}, count=None)
    return set(read_table(folder / "train.parquet", TRAIN)["source_id"]), outcomes["a"], card


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve conversations of one, two and three turns."""
    write_responses(tmp_path / "results/s", "a", [r for n in range(12) for r in conversation(n, "a")])
    return tmp_path


def turns(number: int) -> int:
    return 1 + number % 3


def test_conditions_apply_in_their_order_and_the_card_says_what_each_kept(root: Path) -> None:
    words = [(n, t, 10 * n + t) for n in range(12) for t in range(turns(n))]
    rewards = [(n, t, None if n == 11 else float(n % 4) - t) for n in range(12) for t in range(turns(n))]
    asked = [(n, t, ["en", "fr", "zh"][n % 3]) for n in range(12) for t in range(turns(n))]
    files = [
        measured_file(root, "length", "a", "integer", words),
        measured_file(root, "reward", "a", "number", rewards),
        measured_file(root, "language", "prompts", "text", asked),
    ]
    study = a_study([
        {"measure": "length", "at_least": 20, "at_most": 110},
        {"measure": "reward", "at_least": 0},
        {"measure": "language", "none_of": ["zh"]},
    ])  # fmt: skip
    drawn, outcomes, card = make(root, study, files)
    # By hand: 0 and 1 are too short, 11 (turns of 110, 111, 112) is too long; then every reward counts.
    left = [n for n in range(2, 11) if all(n % 4 - t >= 0 for t in range(turns(n)))]
    kept = [n for n in left if n % 3 != 2]
    assert drawn == {name_of(n) for n in kept}
    first = "length.words at least 20 and at most 110"
    assert outcomes[first] == 3
    assert outcomes["reward.reward at least 0"] == 9 - len(left)
    assert "reward.reward missing" not in outcomes, "the first reason counts"
    second, third = "reward.reward at least 0", "language.language none of zh"
    assert card["measured"] == {
        "a": [
            {"condition": first, "missing": 0, "dropped": 3, "kept": 9},
            {"condition": second, "missing": 0, "dropped": 9 - len(left), "kept": len(left)},
            {"condition": third, "missing": 0, "dropped": len(left) - len(kept), "kept": len(kept)},
        ]
    }
    text = (root / "results/s/mixes/m/card.md").read_text()
    assert "| a | length.words at least 20 and at most 110 | 3 | 0 | 9 |" in text
    about = about_table(root / "results/s/mixes/m/train.parquet")["provenance"]["sources"]["a"]
    assert about["measures"] == {n: f"of {n}" for n in ("length", "reward", "language")}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("every", all),
        ("any", any),
        ("first", lambda values: values[0]),
        ("last", lambda values: values[-1]),
    ],
)
def test_which_turns_must_meet_a_condition(root: Path, over: str, expected: Any) -> None:
    said = {n: [bool((n >> t) & 1) for t in range(turns(n))] for n in range(12)}
    rows = [(n, t, v) for n, values in said.items() for t, v in enumerate(values)]
    files = [measured_file(root, "refusal", "a", "flag", rows)]
    study = a_study([{"measure": "refusal", "one_of": [True], "over": over}])
    assert make(root, study, files)[0] == {name_of(n) for n, values in said.items() if expected(values)}


@pytest.mark.parametrize("over", ["every", "any", "last"])
def test_a_turn_without_a_value(root: Path, over: str) -> None:
    """Conversation 2 has three turns, the last without a value; conversation 5 too, and its first fails."""
    values = {(2, 2): None, (5, 2): None, (5, 0): -1.0}
    rows = [(n, t, values.get((n, t), 1.0)) for n in range(12) for t in range(turns(n))]
    files = [measured_file(root, "reward", "a", "number", rows)]
    everything = {name_of(n) for n in range(12)}
    asked = {"measure": "reward", "at_least": 0, "over": over}
    open_ = {"every": {2}, "any": set(), "last": {2, 5}}[over]
    failing = {"every": {5}, "any": set(), "last": set()}[over]
    drop = make(root, a_study([asked]), files)
    assert drop[0] == everything - {name_of(n) for n in open_ | failing}
    assert drop[1].get("reward.reward missing", 0) == len(open_)
    (step,) = drop[2]["measured"]["a"]
    assert (step["missing"], step["dropped"]) == (len(open_), len(open_ | failing))
    keep = make(root, a_study([asked | {"missing": "keep"}]), files)
    assert keep[0] == everything - {name_of(n) for n in failing}
    if open_:
        with pytest.raises(
            DataError, match=f"mix m: source 'a': conversation ({name_of(2)}|{name_of(5)}) has no value of"
        ):
            make(root, a_study([asked | {"missing": "stop"}]), files)


def test_turns_that_are_cut_off_do_not_count(root: Path) -> None:
    rows = [r for n in range(12) for r in conversation(n, "a")]
    for row in rows:
        if row["turn"] == 2:
            row |= {"response": None, "failure": "too_long: x"}
    write_responses(root / "results/s", "a", rows)
    said = [(n, t, None if t == 2 else 1.0) for n in range(12) for t in range(turns(n))]
    files = [measured_file(root, "reward", "a", "number", said)]
    filters = {"incomplete": "cut", "measures": [{"measure": "reward", "at_least": 0, "missing": "stop"}]}
    assert len(make(root, a_study([], **{"filters": filters}), files)[0]) == 12


def test_a_source_may_have_its_own_and_the_prompts_have_theirs(root: Path) -> None:
    write_prompts(root / "results/s", {name_of(n): [("user", "q"), ("assistant", "a")] for n in range(6)})
    asked = [(n, 0, "en" if n < 2 else "fr") for n in range(6)]
    files = [measured_file(root, "language", "prompts", "text", asked)]
    own = {
        "kind": "prompts",
        "licence": "x",
        "filters": {"measures": [{"measure": "language", "one_of": ["en"]}]},
    }
    study = a_study([], sources=[own])
    folder = root / "results/s/mixes/m"
    outcomes = build(
        "m",
        study.mixes["m"],
        Place(root, root / "results/s", study.measures, files),
        folder,
        study="s",
        seed=7,
    )
    assert outcomes["original"]["drawn"] == 2
    assert study.mixes["m"].measured(study.measures) == [("language", "prompts")]


def test_files_that_do_not_fit_are_said(root: Path) -> None:
    study = a_study([{"measure": "length", "at_least": 1}])
    with pytest.raises(DataError, match=r"no file of the measure length of a \(files given: none\)"):
        make(root, study, [])
    few = [(n, t, 5) for n in range(11) for t in range(turns(n))]
    with pytest.raises(DataError, match=f"has not all turns of conversation {name_of(11)}; measure it again"):
        make(root, study, [measured_file(root, "length", "a", "integer", few)])


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            {"measure": "lenght", "at_least": 1},
            "'lenght' is not among the study's measures .*; did you mean 'length'",
        ),
        ({"measure": "length", "column": "word", "at_least": 1}, "no column 'word' .*; did you mean 'words'"),
        ({"measure": "length", "column": "tokens", "at_least": 1}, "'length' has no column 'tokens'"),
        (
            {"measure": "length"},
            "a condition needs at_least, .*, one_of, none_of, quantile, top, bottom or distinct",
        ),
        ({"measure": "length", "at_least": "many"}, "length.words is a number, and at_least has 'many'"),
        ({"measure": "language", "at_least": "en"}, "language.language is a text without an order"),
        ({"measure": "language", "one_of": [3]}, "language.language is a text, and one_of has 3"),
        ({"measure": "refusal", "one_of": ["true"]}, "refusal.explicit is true or false"),
        ({"measure": "refusal", "at_most": 1.0}, "refusal.explicit is true or false"),
        (
            {"measure": "length", "at_leest": 1},
            "'mixes.m.filters.measures.0.at_leest'; did you mean 'at_least'",
        ),
    ],
)
def test_a_condition_that_cannot_be_met_is_said_before_anything_runs(
    condition: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        a_study([condition])
    assert "study s: " in str(error.value)
    assert "mixes.m" in str(error.value)


def test_data_of_others_have_no_measures() -> None:
    source = {"kind": "files", "files": ["x.jsonl"], "licence": "x"}
    with pytest.raises(
        ConfigError, match=r"mixes\.m: x: filters\.measures: the measure 'length' is of responses"
    ):
        a_study([{"measure": "length", "at_least": 1}], sources=[source])


def test_levels_have_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text column with levels, as a label by a model will have."""
    levels = ("poor", "good", "excellent")
    study = a_study([])
    quality = Value("text", "", levels)
    monkeypatch.setattr(type(study.measures["language"]), "columns", lambda self: {"language": quality})
    of = ("responses", "prompts")
    asked = validate(Condition, {"measure": "language", "at_least": "good"}, "c")
    check_condition(asked, study.measures, of)
    frame = pl.DataFrame({"language": [*levels, None, "unheard"]})
    assert frame.select(meets(asked, pl.col("language"), levels)).to_series().to_list() == [
        False, True, True, None, None,
    ]  # fmt: skip
    wrong = validate(Condition, {"measure": "language", "at_least": "god"}, "c")
    with pytest.raises(ValueError, match=r"'god' is no level of it .*; did you mean 'good'"):
        check_condition(wrong, study.measures, of)


def test_a_mix_without_conditions_is_what_it_was() -> None:
    """Its identity has no trace of them: what was made before is not made again."""
    assert "measures" not in json.dumps(identity(a_study([]).mixes["m"]))
    assert "measures" in json.dumps(identity(a_study([{"measure": "length", "at_least": 1}]).mixes["m"]))
