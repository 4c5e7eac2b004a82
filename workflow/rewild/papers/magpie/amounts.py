"""Amounts as the text prints them: ``300K``, ``13.4 million``, ``2×10^{-5}``."""

from __future__ import annotations

import re
from decimal import Decimal

from rewild.audit.evidence import Cell, Evidence
from rewild.audit.numbers import Range, printed
from rewild.audit.outcome import Fact
from rewild.core.errors import DataError

_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, " million": 1_000_000}
_AMOUNT = re.compile(r"(-?[\d.,]+)(K|M| million)?")
_POWER = re.compile(r"([\d.]+)(?:×10\^\{(-?\d+)\}|e(-?\d+))")


def amount(fact: Fact) -> Range:
    """The numbers that a printed amount can stand for.

    Raises:
        DataError: it is none.
    """
    found = _AMOUNT.fullmatch(fact.value)
    if not found:
        raise DataError(f"{fact.source}, {fact.place}: '{fact.value}' is no amount")
    return printed(found[1]).times(_UNITS[found[2] or ""])


def power(text: str) -> Decimal:
    """A number with a power of ten, as ``2×10^{-5}`` or ``2e-5``.

    Raises:
        DataError: it is none.
    """
    found = _POWER.fullmatch(text.strip())
    if not found:
        raise DataError(f"'{text}' is no number with a power of ten")
    return Decimal(found[1]).scaleb(int(found[2] or found[3]))


def size(evidence: Evidence, row: str) -> Fact:
    """The size of a data set."""
    return evidence.table("sizes").text(row, "Conversations")


def setting(evidence: Evidence, row: str) -> Fact:
    """A setting that the text gives."""
    return evidence.table("settings").text(row, "Setting")


def cost(evidence: Evidence, row: str, column: str) -> Cell:
    """A number on time or cost."""
    return evidence.table("costs").cell(row, column)


def items(fact: Fact) -> list[str]:
    """A list of a fact: what stands between its semicolons."""
    return [item.strip() for item in fact.value.split(";")]
