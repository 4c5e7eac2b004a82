"""Rounding in the audit: a printed number is the interval that rounds to it."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.audit.numbers import Range, agrees, decimal, exact, mean, printed, show
from rewild.core.errors import DataError


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.48", "0.475", "0.485"),
        (".404", "0.4035", "0.4045"),
        ("41.00", "40.995", "41.005"),
        ("741", "740.5", "741.5"),
        ("366,550", "366549.5", "366550.5"),
        ("0.48 ± 0.01", "0.475", "0.485"),
    ],
)
def test_printed_interval(text: str, low: str, high: str) -> None:
    assert printed(text) == Range(Decimal(low), Decimal(high))


def test_half_way_agrees_with_both_neighbours() -> None:
    # The workbook's 0.645 is printed 0.65 in Table 2, and would be 0.64 under round-half-even.
    assert agrees(Decimal("0.645"), "0.65")
    assert agrees(Decimal("0.645"), "0.64")
    assert not agrees(Decimal("0.6345"), "0.64")
    assert not agrees(Decimal("0.9042"), ".91")


@given(
    st.decimals(min_value=-1000, max_value=1000, places=6),
    st.integers(min_value=0, max_value=4),
    st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN]),
)
def test_a_number_agrees_with_its_own_rounding_and_no_other(value: Decimal, digits: int, how: str) -> None:
    step = Decimal(1).scaleb(-digits)
    rounded = value.quantize(step, rounding=how)
    assert agrees(value, f"{rounded:f}")
    assert not agrees(value, f"{rounded + 2 * step:f}")
    assert not agrees(value, f"{rounded - 2 * step:f}")


def test_an_interval_agrees_when_some_number_in_it_does() -> None:
    assert agrees(Range(Decimal("0.40"), Decimal("0.41")), "0.41")
    assert not agrees(Range(Decimal("0.40"), Decimal("0.404")), "0.41")


def test_floats_are_taken_at_their_shortest_form() -> None:
    assert exact(0.1).low == Decimal("0.1")
    assert mean([exact(0.1), exact(0.2)]).low == Decimal("0.15")


def test_quotient_of_intervals_holds_every_quotient() -> None:
    ratio = printed("37,357").over(printed("3,163"))
    assert ratio.low < Decimal(37357) / Decimal(3163) < ratio.high
    with pytest.raises(DataError, match="cannot divide"):
        exact(1).over(printed("0"))


@pytest.mark.parametrize("text", ["", "N/A", "nan", "inf", "1e", "0.4.1"])
def test_no_number(text: str) -> None:
    with pytest.raises(DataError, match="is not a number"):
        decimal(text)


def test_the_error_names_the_place() -> None:
    with pytest.raises(DataError, match=r"^file.csv, row 3: 'x' is not a number$"):
        decimal("x", "file.csv, row 3")


def test_mean_of_nothing() -> None:
    with pytest.raises(DataError):
        mean([])


def test_shown() -> None:
    assert show(Decimal("0.40373")) == "0.4037"
    assert show(Range(Decimal("0.1"), Decimal("0.2")), 1) == "0.1 to 0.2"
    assert show(exact(3), 0) == "3"
