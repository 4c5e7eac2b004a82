"""Judge factors without a judge: probabilities of scores in tokens, what is asked, settings, identity."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from rewild.config.base import validate
from rewild.config.measures import Factors
from rewild.config.measures import factors as section
from rewild.config.measures.factors import criteria
from rewild.core.errors import ConfigError
from rewild.engines.base import EngineError
from rewild.measures.base import Text
from rewild.measures.factors import Probabilities, Spelled, question

RELEASED = [
    *("Logical Robustness", "Logical Correctness", "Logical Efficiency", "Commonsense Understanding"),
    *("Factuality", "Metacognition", "Insightfulness", "Completeness", "Comprehension", "Conciseness"),
    *("Readability", "Harmlessness"),
]
ROW = {"kind": "factors", "model": "llama-3-8b-instruct"}
TEXT = Text("c", 1, 0, "An answer.", ({"role": "user", "content": "A question?"},))


class Table:
    """A language of six tokens whose probabilities depend on all that was said."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def next(self, said: tuple[int, ...]) -> list[float]:
        draw = random.Random(f"{self.seed} {said}")
        weights = [draw.random() ** 3 for _ in range(6)]
        return [w / sum(weights) for w in weights]

    def following(self, asked: Any) -> list[list[float]]:
        return [
            [math.log(self.next(tuple(ids[: p + 1]))[t]) for p, t in zip(places, tokens, strict=True)]
            for ids, places, tokens in asked
        ]


@pytest.mark.parametrize(
    "spellings",
    [
        {1: [(1,)], 2: [(2,)], 3: [(3,)]},
        {1: [(1,)], 2: [(2,)], 3: [(1, 0)]},  # 1, 2 and 10
        {1: [(1,), (5, 1)], 2: [(2,), (5, 2)], 3: [(1, 0), (5, 1, 0)]},  # a space before it
        {1: [(1,)], 2: [(1, 1)], 3: [(1, 1, 1)]},  # a chain: each is less the next
        {1: [(1, 2)], 2: [(2, 1)], 3: [(1, 3)]},  # no score is one token
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_probabilities_are_those_of_all_answers_counted_out(spellings: dict[int, Any], seed: int) -> None:
    """The oracle goes through every answer of three tokens, and asks what score it begins with."""
    table, before = Table(seed), (4, 4, 2)
    wanted = dict.fromkeys(spellings, 0.0)
    for answer in itertools.product(range(6), repeat=3):
        p = math.prod(table.next((*before, *answer[:n]))[answer[n]] for n in range(3))
        begins = [(len(w), s) for s, ways in spellings.items() for w in ways if answer[: len(w)] == w]
        if begins:
            wanted[max(begins)[1]] += p
    spelled = Spelled(spellings)
    asked = spelled.asked(before)
    found = spelled.read(len(before), asked, table.following(asked))
    assert found is not None
    assert found.mass == pytest.approx(sum(wanted.values()))
    assert [p * found.mass for p in found.each] == pytest.approx(list(wanted.values()))
    assert found.expected == pytest.approx(sum(s * p for s, p in wanted.items()) / sum(wanted.values()))
    assert 0 <= found.entropy <= math.log2(3)


def test_digits_take_one_pass_and_nothing_is_asked_twice() -> None:
    spelled = Spelled({n: [tuple(map(int, str(n)))] for n in range(1, 11)})
    (asked,) = spelled.asked([7, 7])
    assert asked == ((7, 7, 1), [1] * 9 + [2], [*range(1, 10), 0])


def test_means_and_entropies() -> None:
    assert (Probabilities((0, 0, 1.0), 1).expected, Probabilities((0, 0, 1.0), 1).entropy) == (3, 0)
    even = Probabilities((0.25,) * 4, 0.5)
    assert (even.expected, even.entropy) == (2.5, 2)


def test_scores_that_are_written_alike_or_not_at_all_are_refused() -> None:
    for spellings in ({1: [(1,)], 2: [(1,)]}, {1: [()], 2: [(2,)]}):
        with pytest.raises(EngineError, match="does not tell the numbers of the scale apart"):
            Spelled(spellings)
    minus = math.log(5e-324)
    assert (
        Spelled({1: [(1, 2)], 2: [(2, 3)]}).read(
            1, Spelled({1: [(1, 2)], 2: [(2, 3)]}).asked([0]), [[minus, minus, minus], [minus]]
        )
        is None
    )


def test_the_criteria_are_the_released_twelve_in_their_order() -> None:
    assert [row.title for row in criteria().values()] == RELEASED
    columns = validate(Factors, ROW, "m").columns()
    assert list(columns)[:4] == [
        "overall",
        "logical_robustness",
        "logical_robustness_entropy",
        "logical_robustness_mass",
    ]
    assert len(columns) == 1 + 12 * 3 + 2
    both = validate(Factors, {**ROW, "criteria": ["factuality"], "order": "both"}, "m").columns()
    assert list(both) == [
        "overall",
        *(f"factuality{end}" for end in ("", "_entropy", "_mass", "_order")),
        "scored",
        "words",
    ]


def test_what_the_judge_reads() -> None:
    row = criteria()["factuality"]
    up, down = (question(row, TEXT, 10, order) for order in ("up", "down"))
    for text in (up, down):
        assert "by one criterion: Factuality." in text
        assert text.index("A question?") < text.index("An answer.")
        assert text.endswith(
            "Reply with your score for Factuality and nothing else: one whole number from 1 to 10."
        )
    assert up.index(f"1: {row.low}") < up.index(f"5: {row.middle}") < up.index(f"10: {row.high}")
    assert down.index(f"10: {row.high}") < down.index(f"5: {row.middle}") < down.index(f"1: {row.low}")
    assert sorted(up.split("\n")) == sorted(down.split("\n"))
    assert f"1: {row.low}\n2: {row.high}" in question(row, TEXT, 2, "up")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"criteria": ["factuallity"]}, "no row 'factuallity' in .*criteria.yaml.*did you mean 'factuality'"),
        ({"criteria": ["factuality"] * 2}, "'factuality' stands twice"),
        ({"criteria": []}, "criteria"),
        ({"scale": 1}, "scale"),
        ({"order": "sideways"}, "order"),
        ({"engine": "openai"}, "cannot score"),
        ({"of": "prompts"}, "of"),
    ],
)
def test_a_mistake_in_a_row_is_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Factors, ROW | more, "m")


def test_what_the_judge_is_told_identifies_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    first = validate(Factors, ROW | {"criteria": ["factuality"]}, "m")
    other = validate(Factors, ROW | {"criteria": ["factuality"], "budget": 7, "device": "cpu"}, "m")
    assert first.identity == other.identity
    assert (
        validate(Factors, ROW | {"criteria": ["factuality"], "order": "down"}, "m").identity != first.identity
    )
    before = first.identity
    told = {n: row.model_copy(update={"asks": "Whether it rhymes."}) for n, row in criteria().items()}
    monkeypatch.setattr(section, "criteria", lambda: told)
    assert first.identity != before
