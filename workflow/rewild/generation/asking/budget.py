"""What judgments cost, and the limit on it: tokens before and after, money reserved before it is spent.

All jobs of a study share one budget. Before a batch of calls, the most that it can cost is reserved; after
it, what it did cost is written down. Both are in a file of each job, under one lock of the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rewild.config.judging import Price
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.files import write_json
from rewild.core.locks import locked
from rewild.core.reading import SMALL, read_json
from rewild.generation.asking.base import JudgeRequest

CHARACTERS_PER_TOKEN = 4  # of English text in the tokenizers of GPT-4 and its kin, on average
PER_MESSAGE = 8  # tokens that a message's role and its marks take, at most
MILLION = 1_000_000
ROUNDING = 1e-9  # of what is reserved: less than that is no promise but an error of sums


class BudgetError(RewildError):
    """The next calls could cost more than is left."""


def estimated_input(request: JudgeRequest) -> int:
    """Tokens that the judge will read, about."""
    characters = sum(len(m["content"]) for m in request.messages)
    return characters // CHARACTERS_PER_TOKEN + PER_MESSAGE * len(request.messages)


def most_input(request: JudgeRequest) -> int:
    """Tokens that the judge can read at most: no token is shorter than a byte."""
    size = sum(len(m["content"].encode()) for m in request.messages)
    return size + PER_MESSAGE * (len(request.messages) + 1)


def cost(price: Price, input_tokens: float, output_tokens: float) -> float:
    """US dollars."""
    return (price.input * input_tokens + price.output * output_tokens) / MILLION


def ceiling(price: Price, requests: Sequence[JudgeRequest]) -> float:
    """The most that one call for each request can cost, in US dollars."""
    return cost(price, sum(map(most_input, requests)), sum(r.max_tokens for r in requests))


def shown(price: Price) -> str:
    """A price with its date and source, for reports."""
    return (
        f"${price.input:g} per million tokens read, ${price.output:g} written ({price.date}, {price.source})"
    )


@dataclass(frozen=True)
class Ledger:
    """One job's part of a study's budget.

    Attributes:
        folder: of the study's judging; each job has a folder below it.
        job: this job's folder.
        budget: US dollars; None is no limit.
        price: of the judge; None where it is not known, which a budget does not allow.
        study, judge: for messages.
    """

    folder: Path
    job: Path
    budget: float | None
    price: Price | None
    study: str = ""
    judge: str = ""

    def start(self) -> None:
        """Settle what a killed job had reserved: it may have been spent, so it counts as spent.

        Raises:
            ConfigError: there is a budget, but no price.
        """
        if self.price is None and self.budget is not None:
            raise ConfigError(
                f"study {self.study}: there is a budget, but no price of the judge '{self.judge}'; "
                "add it to judging.prices"
            )
        with locked(self.folder):
            spent, reserved = _read(self.job)
            if reserved:
                _write(self.job, spent + reserved, 0.0)

    def reserve(self, requests: Sequence[JudgeRequest], kept: str) -> float:
        """Set aside the most that these calls can cost.

        Args:
            requests: the next calls.
            kept: what is done already, for the message.

        Raises:
            BudgetError: it is more than is left; nothing is set aside then.
        """
        if self.price is None:
            return 0.0
        most = ceiling(self.price, requests)
        with locked(self.folder):
            spent = {path.parent: _read(path.parent) for path in self.folder.rglob("spent.json")}
            used = sum(map(sum, spent.values()))
            if self.budget is not None and used + most > self.budget:
                raise BudgetError(
                    f"the budget of ${self.budget:,.2f} could be exceeded: ${used:,.4f} is spent or "
                    f"promised, and the next {len(requests)} calls can cost up to ${most:,.4f}. {kept} Raise "
                    "judging.budget and run again: it goes on from here"
                )
            mine = spent.get(self.job, (0.0, 0.0))
            _write(self.job, mine[0], mine[1] + most)
        return most

    def settle(self, reserved: float, paid: float) -> None:
        """Put what was paid in the place of what was reserved."""
        if self.price is None:
            return
        with locked(self.folder):
            spent, open_ = _read(self.job)
            left = open_ - reserved
            _write(self.job, spent + paid, left if left > ROUNDING * open_ else 0.0)


def _read(folder: Path) -> tuple[float, float]:
    path = folder / "spent.json"
    if not path.exists():
        return 0.0, 0.0
    try:
        found = read_json(path, limit=SMALL)
        spent, reserved = float(found["spent"]), float(found["reserved"])
        if min(spent, reserved) < 0:
            raise ValueError("less than nothing")
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise RewildError(
            f"{path}: cannot be read, so what was spent is not known; write "
            '{"spent": DOLLARS, "reserved": 0} there, from the bill'
        ) from error
    return spent, reserved


def _write(folder: Path, spent: float, reserved: float) -> None:
    write_json(folder / "spent.json", {"spent": spent, "reserved": reserved})
