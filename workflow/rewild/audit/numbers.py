"""Exact arithmetic on printed numbers: a printed number is the interval that rounds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from rewild.core.errors import DataError


@dataclass(frozen=True)
class Range:
    """A closed interval of numbers. An exact number has ``low == high``."""

    low: Decimal
    high: Decimal

    @property
    def exact(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high

    @property
    def middle(self) -> Decimal:
        """The number itself, or the middle of the interval."""
        return (self.low + self.high) / 2

    def meets(self, other: Range) -> bool:
        """Whether some number lies in both."""
        return self.low <= other.high and other.low <= self.high

    def times(self, factor: Decimal | int) -> Range:
        """The interval scaled by a positive ``factor``."""
        return Range(self.low * factor, self.high * factor)

    def over(self, other: Range) -> Range:
        """The quotients of two intervals of positive numbers."""
        if other.low <= 0:
            raise DataError(f"cannot divide by {other.low}: positive numbers were expected")
        return Range(self.low / other.high, self.high / other.low)


def decimal(text: str, where: str = "") -> Decimal:
    """A number as printed: ``.404``, ``41.00``, ``366,550``, ``0.48 ± 0.01`` (its interval left out).

    Raises:
        DataError: it is not a (finite) number; the message starts with ``where``.
    """
    bare = text.split("±", maxsplit=1)[0].strip().replace(",", "")
    try:
        value = Decimal(bare)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise DataError(f"{where}{': ' if where else ''}'{text}' is not a number")
    return value


def printed(text: str) -> Range:
    """The interval of numbers that round to ``text`` at its printed digits, both half-way cases included.

    >>> printed("0.48")
    Range(low=Decimal('0.475'), high=Decimal('0.485'))
    """
    value = decimal(text)
    exponent = value.as_tuple().exponent
    half = Decimal(5).scaleb(min(int(exponent), 0) - 1)
    return Range(value - half, value + half)


def exact(value: Decimal | int | str | float) -> Range:
    """One number, as an interval. A float is taken at its shortest decimal form (0.1 is one tenth)."""
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    return Range(number, number)


def agrees(computed: Range | Decimal, published: str) -> bool:
    """Whether a computed number rounds to the published one at the published digits.

    A number half-way between two printed ones agrees with both, since sources differ in how they round.
    A computed interval agrees when some number in it does.
    """
    if isinstance(computed, Decimal):
        computed = Range(computed, computed)
    return computed.meets(printed(published))


def mean(values: Sequence[Range]) -> Range:
    """The mean of intervals.

    Raises:
        DataError: there are none.
    """
    if not values:
        raise DataError("the mean of no numbers was asked for")
    count = len(values)
    zero = Decimal(0)
    return Range(
        sum((v.low for v in values), zero) / count,
        sum((v.high for v in values), zero) / count,
    )


def show(value: Range | Decimal | float, digits: int = 4) -> str:
    """A number for readers, at ``digits`` decimals; an interval as ``low to high``."""
    if isinstance(value, Range):
        low, high = show(value.low, digits), show(value.high, digits)
        return low if low == high else f"{low} to {high}"
    number = Decimal(str(value)) if isinstance(value, float) else value
    return f"{number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN):f}"
