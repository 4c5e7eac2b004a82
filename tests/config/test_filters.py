"""Filters as rows: a study's own and the shared ones, looked up by name before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from rewild.config.base import identity, validate
from rewild.config.filters import shared_filters, with_filters
from rewild.config.study import Study
from rewild.core.errors import ConfigError

MEASURES = {
    "length": {"kind": "length"},
    "grade": {"kind": "reward", "model": "o/m", "revision": "a" * 40},
    "asked": {"kind": "length", "of": "prompts"},
}
LONG = {"measure": "length", "column": "words", "at_least": 5}
BEST = {"measure": "reward", "top": 100}


def a_study(filters: Any = (), own: dict[str, Any] | None = None, **more: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    sections = {"responses": {"engine": "transformers", "models": ["a"]}, "measures": MEASURES}
    mix = {"sources": [{"kind": "responses", "model": "a"}], "filters": filters}
    return validate(Study, given | sections | {"filters": own or {}, "mixes": {"m": mix}} | more, "study s")


def conditions(study: Study) -> list[str]:
    return [c.sentence(study.measures) for c in study.mixes["m"].filters.measures]


def test_a_name_stands_for_its_conditions_where_it_stands() -> None:
    own = {"long": [LONG, {"measure": "grade", "at_least": 0}]}
    named = a_study(["long", {"measure": "length", "bottom": 9}], own)
    assert conditions(named) == [
        "length.words at least 5",
        "grade.reward at least 0",
        "length.words bottom 9",
    ]
    spelt = a_study([*own["long"], {"measure": "length", "bottom": 9}])
    assert identity(named.mixes["m"]) == identity(spelt.mixes["m"]), "a name identifies nothing"
    section = a_study({"turns": {"max": 3}, "measures": ["long"]}, own).mixes["m"].filters
    assert (section.turns.max, len(section.measures)) == (3, 2)


def test_names_of_measures_and_the_number_are_the_studys() -> None:
    some = {"measure": "length", "at_least": 1}
    own = {"best": {"conditions": [{"measure": "reward", "top": 7}, some, BEST]}}
    asked = {"filter": "best", "measures": {"reward": "grade"}, "top": 12}
    with pytest.raises(ConfigError, match=r"filters.best: 'reward' is not among the study's measures"):
        a_study([asked], own)
    some["measure"] = "grade"
    shared = with_filters({"filters": own, "mixes": {"m": {"filters": [asked]}}})["mixes"]["m"]["filters"]
    assert [(c["measure"], c.get("top")) for c in shared] == [("grade", 7), ("grade", None), ("grade", 12)]
    assert own["best"]["conditions"][0] == {"measure": "reward", "top": 7}, "the row stays what it is"


def test_the_shared_rows() -> None:
    """What the paper's text states of its six: tau 1, tau 2, and output length last; the rest says so."""
    rows = shared_filters()
    six = {name: row for name, row in rows.items() if (row.title or "").startswith("One of six")}
    assert len(six) == 6
    bounds = {"reward": -12.0, "reward-difference": 0.0}
    for name, row in six.items():
        *before, last = row.conditions
        assert (last.measure, last.column, last.top) == ("length", "characters", 300_000), name
        found = {c.measure: c.at_least for c in before if c.measure in bounds}
        assert len(found) == 1
        assert found.items() <= bounds.items(), name
        assert "metrics" in row.unstated, name
        assert "top" not in {asked for c in before for asked in c.asked}
    assert len({str(row.conditions) for row in six.values()}) == 6
    assert all(row.source for row in rows.values())
    renamed = {"filter": "magpie-reward", "measures": {"reward": "grade", "distance": "space"}, "top": 3}
    space = {"vectors": {"kind": "embedding", "of": "prompts"}}
    space["space"] = {"kind": "neighbour", "of": "prompts", "space": "vectors"}
    assert conditions(a_study([renamed], measures=MEASURES | space)) == [
        "grade.reward at least -12",
        "space.repeats at most 0",
        "length.characters top 3 (sum of turns)",
    ]


def test_the_shared_rows_fit_the_kinds_that_they_are_meant_for() -> None:
    """With measures called as the head of the file says, each row can be used as it stands."""
    asked = {"kind": "label", "of": "prompts", "model": "m"}
    reward = MEASURES["grade"]
    measures = {
        "quality": asked | {"scheme": "quality"},
        "difficulty": asked | {"scheme": "difficulty"},
        "vectors": {"kind": "embedding", "of": "prompts"},
        "distance": {"kind": "neighbour", "of": "prompts", "space": "vectors", "within": 0.05},
        "reward": reward,
        "answers": {"kind": "embedding"},
        "response-distance": {"kind": "neighbour", "space": "answers", "within": 0.05},
        "reward-difference": {
            "kind": "difference",
            "left": "reward",
            "right": {"measure": "reward", "subject": "a"},
        },
        "length": {"kind": "length"},
        "colon": {"kind": "pattern", "of": "prompts", "matches": r":\s*$"},
    }
    assert {"first-of-near-copies", "magpie-notebook"} < set(shared_filters())
    for name, row in shared_filters().items():
        study = a_study([name], measures=measures)
        assert study.mixes["m"].filters.measures == row.conditions, name


@pytest.mark.parametrize(
    ("filters", "own", "message"),
    [
        (
            ["lnog"],
            {"long": [LONG]},
            r"study s: mixes.m.filters: unknown filter 'lnog'; did you mean 'long'\?",
        ),
        (["magpie-qualty"], {}, "unknown filter 'magpie-qualty'; did you mean 'magpie-quality'"),
        ({"measures": ["x"]}, {}, r"mixes.m.filters.measures: unknown filter 'x' \(filters: first-of-near-"),
        (["magpie-reward"], {}, "mixes.m: a: filters.measures: 'reward' is not among the study's measures"),
        (
            [{"filter": "long", "measures": {"lenght": "x"}}],
            {"long": [LONG]},
            "filter 'long' reads no measure 'lenght'; did you mean 'length'",
        ),
        ([{"filter": "long", "top": 3}], {"long": [LONG]}, "filter 'long' has no `top` to be replaced"),
        ([{"filter": "long", "tpo": 3}], {"long": [LONG]}, "unknown key 'tpo'; did you mean 'top'"),
        ([], {"long": [LONG | {"at_leest": 3}]}, r"'filters.long.conditions.0.at_leest'; did you mean"),
        ([], {"long": [LONG | {"measure": "lenght"}]}, "filters.long: 'lenght' is not among the study's"),
        ([], {"long": []}, "filters.long.conditions: list should have at least 1 item"),
        ([], {"long": ["other"]}, "filters.long.conditions.0: input should be a valid dictionary"),
        ([LONG | {"top": 3}], {}, "top ranks what is left, so it stands alone: put at_least in a condition"),
        ([{"measure": "length", "quantile": {}}], {}, "a quantile needs `upper` or `lower`, and not both"),
        (
            [{"measure": "length", "quantile": {"upper": 1.0}}],
            {},
            "upper: input should be less than 1",
        ),
        ([LONG | {"distinct": "first"}], {}, "distinct ranks what is left, so it stands alone: put at_least"),
        (
            [{"measure": "length", "distinct": "first", "over": "any"}],
            {},
            "over: copies are alike in every turn, the first or the last, not any",
        ),
        ([{"measure": "length", "distinct": "last"}], {}, "distinct: 'last' is not one of"),
        ([{"measure": "length", "top": 0}], {}, "top: input should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(filters: Any, own: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_study(filters, own)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"measure": "refusal", "top": 3}, "refusal.explicit is true or false"),
        (
            {"measure": "refusal", "one_of": [True], "over": "mean"},
            "refusal.explicit is no number",
        ),
        ({"measure": "language", "quantile": {"lower": 0.5}}, "language.language is a text without an order"),
    ],
)
def test_what_has_no_order_is_not_ranked(condition: dict[str, Any], message: str) -> None:
    measures = MEASURES | {"refusal": {"kind": "refusal"}, "language": {"kind": "language"}}
    with pytest.raises(ConfigError, match=message):
        a_study([condition], measures=measures)


def test_a_study_without_filters_is_what_it_was() -> None:
    plain = a_study({})
    assert "filters" not in plain.model_dump()
    assert plain.mixes["m"].filters.measures == []
