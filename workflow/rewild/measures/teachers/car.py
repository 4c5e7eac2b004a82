"""Compatibility-adjusted reward (CAR): what a teacher's answers are worth to one base model.

Xu et al. (2024), "Stronger Models are NOT Stronger Teachers for Instruction Tuning", equation 3:
CAR = r / (1 + β L), with the mean reward r of a teacher's answers and their loss L under the base model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from rewild.core.errors import DataError, known_name
from rewild.core.measures import KEY

BETA = 3.0
"""The paper's."""
READINGS: Mapping[str, str] = MappingProxyType(
    {
        "mean-alone": "mean over responses of a token's mean loss, without the instruction",
        "mean-given": "mean over responses of a token's mean loss, given the instruction",
        "pooled-alone": "mean over all tokens of all responses, without the instruction",
        "pooled-given": "mean over all tokens of all responses, given the instruction: a trainer's loss",
        "sum-alone": "mean over responses of the whole response's loss, without the instruction: as printed",
        "sum-given": "mean over responses of the whole response's loss, given the instruction: equation 1",
    }
)
"""What L is.

The paper's text says "average loss of responses", and its equation has no instruction: hence ``mean-alone``
where none is named. As printed, the equation sums over a response's tokens: then 1 + β L is little else than
the length.
"""


@dataclass(frozen=True)
class Teacher:
    """What was measured of one teacher's answers for one base model.

    Attributes:
        reward: mean over the responses that have a reward and a loss; None if none has.
        losses: reading → loss in nats, over the same responses; empty if there are none.
        responses: how many those are.
        failures: why others are left out → how many.
    """

    reward: float | None
    losses: Mapping[str, float]
    responses: int
    failures: Mapping[str, int]


SUMS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        f"{how}-{given}": (f"{what}_{given}", over and {"given": "tokens", "alone": "tokens_alone"}[given])
        for given in ("alone", "given")
        for how, what, over in (
            ("mean", "logprob", None),
            ("pooled", "total", "tokens"),
            ("sum", "total", None),
        )
    }
)
"""Reading → the column that is summed up, and the one whose sum divides it; None: the number of responses."""


def joined(rewards: pl.DataFrame, likelihoods: pl.DataFrame, column: str = "reward") -> pl.DataFrame:
    """A reward and a likelihood side by side, and why a response lacks one (``why``; null where it has both).

    Args:
        rewards: of one teacher's answers, as :func:`rewild.core.measures.read_measure` gives them.
        likelihoods: of the same answers; a measure of kind ``likelihood``.
        column: of the rewards.

    Raises:
        DataError: a column is missing.
    """
    known_name(column, rewards.columns, "the measure of rewards has no column", error=DataError)
    sides = {"reward": ([column], rewards), "likelihood": (needed(), likelihoods)}
    for side, (names, frame) in sides.items():
        for name in names:
            known_name(name, frame.columns, f"the measure of {side} has no column", error=DataError)
    frames = [
        frame.select(
            *KEY, *names, pl.col("failure").alias(f"{side}_failure"), pl.lit(True).alias(side + "_row")
        )
        for side, (names, frame) in sides.items()
    ]
    both = frames[0].join(frames[1], on=list(KEY), how="full", coalesce=True)
    why = [_reason(side, names) for side, (names, _) in sides.items()]
    return both.with_columns(why=pl.coalesce(*why))


def averaged(both: pl.DataFrame, column: str = "reward") -> Teacher:
    """What :func:`joined` gives, averaged over the responses that have both."""
    failures = dict(sorted(Counter(both["why"].drop_nulls().to_list()).items()))
    whole = both.filter(pl.col("why").is_null())
    if not whole.height:
        return Teacher(None, {}, 0, failures)
    sums = {name: math.fsum(whole[name]) for name in (column, *needed())}
    losses = {
        name: -sums[what] / (sums[over] if over else whole.height)
        for name, (what, over) in ((name, SUMS[name]) for name in READINGS)
    }
    return Teacher(sums[column] / whole.height, losses, whole.height, failures)


def car(reward: float, loss: float, beta: float = BETA, shift: float = 0.0) -> float:
    """Equation 3.

    It is not invariant to a shift of the reward, and with a reward below zero a higher loss would raise it.
    So a mean reward at or below zero is refused, or shifted by a constant that is said.

    Args:
        reward: mean of the answers, on the reward model's own scale.
        loss: in nats, by one of :data:`READINGS`.
        beta: how much the loss weighs.
        shift: added to the reward: one constant for all teachers that are compared.

    Raises:
        DataError: a number is not finite, the loss or β is negative, or the reward is at or below zero.
    """
    for name, value in (("reward", reward), ("loss", loss), ("β", beta), ("shift", shift)):
        if not math.isfinite(value):
            raise DataError(f"CAR: the {name} is {value}")
    if loss < 0 or beta < 0:
        raise DataError(
            f"CAR: {'the loss' if loss < 0 else 'β'} is negative ({loss if loss < 0 else beta:g})"
        )
    if reward + shift <= 0:
        shifted = f" with {shift:g} added" if shift else ""
        raise DataError(
            f"CAR: the mean reward is {reward:g}{shifted}; at or below zero, a higher loss would not lower "
            "CAR. Add one constant to the rewards of all teachers (`shift`), and say so: ranks depend on it"
        )
    return (reward + shift) / (1 + beta * loss)


def curve(
    rewards: Sequence[float], losses: Sequence[float], betas: Sequence[float], shift: float = 0.0
) -> list[list[float]]:
    """CAR of each teacher at each β: ``(betas, teachers)``. At 0 it is the reward.

    Raises:
        DataError: as of :func:`car`.
    """
    return [[car(r, loss, beta, shift) for r, loss in zip(rewards, losses, strict=True)] for beta in betas]


def needed() -> list[str]:
    """The columns of a likelihood that CAR reads."""
    return [f"{what}_{given}" for given in ("alone", "given") for what in ("logprob", "total")] + [
        "tokens",
        "tokens_alone",
    ]


def _reason(side: str, names: Sequence[str]) -> pl.Expr:
    """Why a response has no value on a side; null where it has."""
    failure = pl.col(f"{side}_failure")
    undefined = pl.any_horizontal(pl.col(name).is_null() for name in names)
    word = failure.str.split(":").list.first()
    return (
        pl.when(pl.col(side + "_row").is_null())
        .then(pl.lit(f"{side}_missing"))
        .when(failure.is_not_null())
        .then(pl.format(f"{side}_failed: {{}}", word))
        .when(undefined)
        .then(pl.lit(f"{side}_undefined"))
    )
