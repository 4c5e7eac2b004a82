"""Conditions one after another: what each leaves, against rows looked at one by one; order, ties, files."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzz
from rewild.config.base import validate
from rewild.config.measures.base import Value
from rewild.config.measures.conditions import Condition, check_condition, reasons_of
from rewild.config.measures.text import Length, Refusal
from rewild.core.errors import DataError
from rewild.core.measures import contract
from rewild.core.table import write_table
from rewild.prompts.filters import Applied, apply_conditions

Values = dict[str, list[float | None]]  # conversation → a value a turn
MEASURES: dict[str, Any] = {
    "a": Length(kind="length", tokenizer=None),
    "b": Length(kind="length", tokenizer=None),
    "f": Refusal(kind="refusal"),
}


def write(folder: Path, name: str, values: Values, parts: int = 1, shuffle: int = 0) -> list[Path]:
    """Files of a measure, conversations dealt out among them."""
    rows = [(c, t, 0, v, None) for c, turns in values.items() for t, v in enumerate(turns)]
    random.Random(shuffle).shuffle(rows)
    schema = contract({"words": ("integer", "")})
    places = {name: place % parts for place, name in enumerate(values)}
    files = []
    for part in sorted(set(places.values())):
        frame = pl.DataFrame([r for r in rows if places[r[0]] == part], schema=schema.dtypes, orient="row")
        files.append(folder / f"{name}-{parts}-{part}.parquet")
        said = {"settings": {"measure": name, "subject": "prompts", "digest": "d"}}
        write_table(files[-1], frame, schema, said)
    return files


def condition(**given: Any) -> Condition:
    return validate(Condition, {"measure": "a"} | given, "c")


def run(values: Values, conditions: Sequence[Condition], files: Sequence[Path], shuffle: int = 0) -> Applied:
    names = list(values)
    random.Random(shuffle).shuffle(names)
    rows = pl.DataFrame({"id": names, "n_turns": [len(values[n]) for n in names]})
    found = apply_conditions(
        rows, conditions, measures=MEASURES, files=files, subject_of=lambda measure: "prompts", where="here"
    )
    assert len(found.reasons) == rows.height
    by_name = dict(zip(names, found.reasons.to_list(), strict=True))
    return Applied(pl.Series([by_name[n] for n in sorted(names)], dtype=pl.String), found.steps)


# The oracle: a conversation at a time, and sorted lists.


def one(turns: list[float | None], asked: Condition) -> float | None:
    chosen = {"first": turns[:1], "last": turns[-1:]}.get(asked.over, turns)
    if None in chosen:
        return None
    if asked.over in ("total", "mean"):
        return sum(chosen) / (len(chosen) if asked.over == "mean" else 1)
    worst, best = (min, max) if asked.highest else (max, min)
    return best(chosen) if asked.over == "any" else worst(chosen)


def alone(turns: list[float | None], asked: Condition) -> bool | None:
    def ok(v: float | None) -> bool | None:
        if v is None:
            return None
        least, most = asked.at_least, asked.at_most
        return (
            (least is None or v >= least)
            and (most is None or v <= most)
            and (asked.above is None or v > asked.above)
            and (asked.below is None or v < asked.below)
            and (asked.one_of is None or v in asked.one_of)
            and (asked.none_of is None or v not in asked.none_of)
        )

    if asked.over in ("total", "mean"):
        return ok(one(turns, asked))
    said = [ok(v) for v in {"first": turns[:1], "last": turns[-1:]}.get(asked.over, turns)]
    decided = {"any": True}.get(asked.over, False)
    if decided in said:
        return decided
    return None if None in said else not decided


def slowly(values: Values, conditions: Sequence[Condition]) -> tuple[list[str], list[int]]:
    """Who is left at the end, and how many after each condition."""
    left, counts = sorted(values), []
    for asked in conditions:
        if asked.distinct:
            shown = {
                n: {"first": values[n][:1], "last": values[n][-1:]}.get(asked.over, values[n]) for n in left
            }
            known = {n: tuple(turns) for n, turns in shown.items() if None not in turns}
            seen = {turns: min(n for n in known if known[n] == turns) for turns in known.values()}
            verdicts = {n: seen[known[n]] == n if n in known else None for n in left}
        elif asked.rank:
            said = {n: one(values[n], asked) for n in left}
            there = sorted((v, n) for n, v in said.items() if v is not None)
            if asked.highest:
                there.sort(key=lambda pair: (-pair[0], pair[1]))
            if asked.quantile:
                share = Decimal(str(asked.quantile.upper or asked.quantile.lower))
                number = math.ceil(share * len(there))
                border = there[number - 1][0] if there else None
                good = {n for v, n in there if (v >= border if asked.highest else v <= border)}
            else:
                good = {n for _, n in there[: asked.top or asked.bottom]}
            verdicts = {n: None if said[n] is None else n in good for n in left}
        else:
            verdicts = {n: alone(values[n], asked) for n in left}
        left = [n for n in left if (asked.missing == "keep" if verdicts[n] is None else verdicts[n])]
        counts.append(len(left))
    return left, counts


NUMBERS = st.integers(-3, 3)
OTHER = ("any", "total", "mean")  # of which copies have none
OVER = st.sampled_from(["every", "any", "first", "last", "total", "mean"])
ASKED = st.one_of(
    st.fixed_dictionaries({"at_least": NUMBERS}, optional={"below": NUMBERS}),
    st.fixed_dictionaries({"at_most": NUMBERS}),
    st.fixed_dictionaries({"above": NUMBERS}),
    st.fixed_dictionaries({"none_of": st.lists(NUMBERS, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"top": st.integers(1, 9)}),
    st.fixed_dictionaries({"bottom": st.integers(1, 9)}),
    st.fixed_dictionaries({"distinct": st.just("first")}),
    st.fixed_dictionaries({"quantile": st.sampled_from(["upper", "lower"]).flatmap(
        lambda side: st.fixed_dictionaries({side: st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9])}))}),
)  # fmt: skip
CONDITIONS = st.lists(
    st.builds(
        lambda asked, over, missing: condition(
            **asked, over="every" if "distinct" in asked and over in OTHER else over, missing=missing
        ),
        ASKED,
        OVER,
        st.sampled_from(["drop", "keep"]),
    ),
    min_size=1,
    max_size=4,
)
TURNS = st.lists(st.one_of(NUMBERS, st.none()), min_size=1, max_size=3)
SETS = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), TURNS, min_size=1, max_size=12)


@fuzz(25)
@given(values=SETS, conditions=CONDITIONS, shuffle=st.integers(0, 99))
def test_each_condition_sees_what_is_left_and_nothing_else_counts(
    tmp_path_factory: pytest.TempPathFactory, values: Values, conditions: list[Condition], shuffle: int
) -> None:
    folder = tmp_path_factory.mktemp("measured")
    found = run(values, conditions, write(folder, "a", values))
    left, counts = slowly(values, conditions)
    assert [n for n, r in zip(sorted(values), found.reasons, strict=True) if r is None] == left
    assert [step.kept for step in found.steps] == counts
    before = len(values)
    for step, names in zip(found.steps, reasons_of(conditions, MEASURES), strict=True):
        assert before == step.dropped + step.kept, "each step's counts add up"
        assert found.reasons.is_in(list(names)).sum() == step.dropped
        assert (found.reasons == names[1]).sum() == step.missing <= step.dropped
        before = step.kept
    other = run(values, conditions, [*reversed(write(folder, "a", values, 3, shuffle))], shuffle)
    assert other.reasons.to_list() == found.reasons.to_list(), "nor do the order of rows and files"
    assert other.steps == found.steps


def test_the_order_counts(tmp_path: Path) -> None:
    """The two highest of those at most 3 are not those at most 3 of the two highest."""
    values: Values = {name: [n] for n, name in enumerate("abcde", start=1)}
    files = write(tmp_path, "a", values)
    bound, best = condition(at_most=3), condition(top=2)
    first = run(values, [bound, best], files)
    assert first.reasons.is_null().to_list() == [False, True, True, False, False]
    assert [step.kept for step in first.steps] == [3, 2]
    second = run(values, [best, bound], files)
    assert second.reasons.null_count() == 0
    with pytest.raises(
        DataError, match=r"x: nothing is left of 5 .* \(a.words top 2 left 2; a.words at most 3 left 0\)"
    ):
        raise second.nothing_left("x", 5)


def test_ties_at_the_border(tmp_path: Path) -> None:
    """Of a number the lowest ids are kept; of a part all that are equal to the last one in it."""
    values: Values = {"d": [2], "b": [2], "c": [2], "a": [1], "e": [3]}
    files = write(tmp_path, "a", values)

    def kept(**asked: Any) -> str:
        found = run(values, [condition(**asked)], files)
        return "".join(n for n, r in zip("abcde", found.reasons, strict=True) if r is None)

    assert kept(top=2) == "be"
    assert kept(bottom=3) == "abc"
    assert kept(quantile={"upper": 0.4}) == "bcde"
    assert kept(quantile={"lower": 0.2}) == "a"
    assert kept(top=99) == "abcde"


class Graded(Length):
    """A measure with levels, as a label has."""

    def columns(self) -> dict[str, Value]:
        return {"grade": Value("text", "", ("poor", "fair", "good"))}


def test_of_copies_the_first_that_is_left_is_kept(tmp_path: Path) -> None:
    """What an earlier condition left out is no copy of what is there; conversations are compared whole."""
    values: Values = {"c": [7], "a": [7], "b": [7], "d": [7, 8], "e": [7, 8], "f": [7, None], "g": [8]}
    early: Values = {name: [name == "a"] * len(turns) for name, turns in values.items()}
    files = [*write(tmp_path, "a", values), *write(tmp_path, "b", early)]

    def kept(*conditions: Condition) -> str:
        found = run(values, conditions, files)
        return "".join(n for n, r in zip("abcdefg", found.reasons, strict=True) if r is None)

    copies = condition(distinct="first")
    assert kept(copies) == "adg"
    assert kept(condition(measure="b", at_most=0), copies) == "bdg"
    assert kept(condition(distinct="first", over="first")) == "ag"
    assert kept(condition(distinct="first", over="last")) == "ad"
    assert kept(condition(distinct="first", missing="keep")) == "adfg"
    found = run(values, [copies], files)
    assert found.reasons.to_list()[1] == "a.words distinct first"
    assert found.steps[0].missing == 1


def test_levels_are_ranked_by_their_order_and_not_by_their_letters(tmp_path: Path) -> None:
    schema = contract({"grade": ("text", "")})
    grades = {"a": "good", "b": "poor", "c": "fair", "d": None, "e": "good"}
    rows = [(name, 0, 0, grade, None) for name, grade in grades.items()]
    said = {"settings": {"measure": "g", "subject": "prompts", "digest": "d"}}
    write_table(tmp_path / "g.parquet", pl.DataFrame(rows, schema=schema.dtypes, orient="row"), schema, said)
    measures = {"g": Graded(kind="length", tokenizer=None)}
    frame = pl.DataFrame({"id": [*grades], "n_turns": 1})

    def kept(**asked: Any) -> str:
        asked_of = condition(measure="g", **asked)
        check_condition(asked_of, measures, ("responses",))
        found = apply_conditions(
            frame,
            [asked_of],
            measures=measures,
            files=[tmp_path / "g.parquet"],
            subject_of=lambda measure: "prompts",
            where="here",
        )
        return "".join(n for n, r in zip(grades, found.reasons, strict=True) if r is None)

    assert kept(top=1) == "a"
    assert kept(bottom=2) == "bc"
    assert kept(quantile={"upper": 0.7}) == "ace"
    assert kept(above="poor", missing="keep") == "acde"
    assert kept(below="good") == "bc"
    assert kept(top=1, missing="keep") == "ad"


def test_a_quantile_of_a_quantile_is_counted_apart(tmp_path: Path) -> None:
    values: Values = {f"{n:02d}": [n] for n in range(16)}
    half = condition(quantile={"upper": 0.5})
    found = run(values, [half] * 3, write(tmp_path, "a", values))
    assert [(s.condition, s.dropped, s.kept) for s in found.steps] == [
        ("a.words quantile upper 0.5", 8, 8),
        ("a.words quantile upper 0.5 (2)", 4, 4),
        ("a.words quantile upper 0.5 (3)", 2, 2),
    ]
    assert (
        found.reasons.to_list() == [s.condition for s in found.steps for _ in range(s.dropped)] + [None] * 2
    )


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    values: Values = {"x": [1, 2], "y": [1, 1]}
    files = write(tmp_path, "a", {"x": [1, 2], "y": [1]})
    with pytest.raises(DataError, match="here: the measure a has not all turns of conversation y"):
        run(values, [condition(top=1)], files)
    assert run(
        values, [condition(at_least=2, over="first"), condition(top=1)], write(tmp_path, "a", values)
    ).steps
    with pytest.raises(DataError, match=r"no file of the measure b of prompts; did you mean 'a of prompts'"):
        run(values, [condition(measure="b", top=1)], files)
    stop = condition(top=1, missing="stop")
    with pytest.raises(DataError, match="here: conversation z has no value of the measure a, an error by"):
        run({"z": [None], "y": [1]}, [stop], write(tmp_path, "a", {"z": [None], "y": [1]}))
