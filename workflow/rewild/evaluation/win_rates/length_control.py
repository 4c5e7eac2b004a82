"""The length-controlled win rate of AlpacaEval 2 (Dubois, Galambosi, Liang and Hashimoto, arXiv:2404.04475).

The preference for model m over the baseline on instruction i is modelled as

    logit p = length_m · tanh((len_baseline − len_m) / sd) + difficulty_m · d_i + intercept_m

and the win rate reported is the mean of p at equal lengths. The library fits it per model, with a small L1
penalty and with the annotations of two "gamed" baselines (the baseline asked to be verbose, and to be
concise) as extra data of total weight 0.2, which have no intercept.

Two inputs are not among the files released beside the leaderboard; the library downloads them from the
Hugging Face hub (data set tatsu-lab/alpaca_eval, file df_gamed.csv): the difficulties d_i and the gamed
annotations. Here both are recovered from what is released:

- Difficulties. One annotation file keeps the library's prediction at equal lengths for every instruction, and
  that model's coefficients are published, so d_i = (logit p_i − intercept) / difficulty coefficient, exactly.
- The gamed term. Each model's published coefficients solve a score equation in which only the gradient of the
  gamed term is unknown, so each gives its value at one point. A concave quadratic through these points stands
  for it; it is fitted without the model under test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rewild.core.errors import DataError
from rewild.core.reading import read_json
from rewild.evaluation.win_rates.annotations import Annotations, Floats

_RIDGE = 1e-6  # keeps a fit finite when preferences are separable; far below every digit reported


@dataclass(frozen=True)
class Difficulties:
    """The difficulty of each instruction, in the order of the file they were recovered from."""

    instructions: list[str]
    values: Floats

    def of(self, annotations: Annotations) -> Floats:
        """(n,) The difficulties of a file's instructions, matched by text.

        Raises:
            DataError: an instruction whose difficulty is not known.
        """
        known = dict(zip(self.instructions, self.values, strict=True))
        for i, text in enumerate(annotations.instructions, 1):
            if text not in known:
                raise DataError(f"{annotations.path}, row {i}: this instruction's difficulty is not known")
        return np.array([known[text] for text in annotations.instructions])

    def by_position(self, annotations: Annotations) -> Floats:
        """(n,) The first n difficulties, whatever the instructions are.

        This is what the library does. Where annotations are missing, it gives instructions behind the gap the
        difficulty of another; it is needed only to reproduce published coefficients and win rates.
        """
        return self.values[: len(annotations.instructions)]

    def sha256(self) -> list[str]:
        """The SHA-256 of each instruction."""
        return [hashlib.sha256(text.encode()).hexdigest() for text in self.instructions]


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(−x)), without overflow."""
    value: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return value


def recover_difficulties(
    files: Sequence[Annotations], coefficients: dict[str, Floats]
) -> Difficulties | None:
    """Difficulties from the predictions that an annotation file keeps; None if none does.

    Where several do, the one with the greatest difficulty coefficient is used: it loses the fewest digits.
    """
    usable = [
        f
        for f in files
        if f.predicted is not None and f.model in coefficients and coefficients[f.model][1] != 0
    ]
    if not usable:
        return None
    best = max(usable, key=lambda f: abs(coefficients[f.model][1]))
    assert best.predicted is not None
    if len(set(best.instructions)) != len(best.instructions):
        raise DataError(f"{best.path}: an instruction stands twice, so its difficulty is not known")
    _, slope, intercept = coefficients[best.model]
    p = best.predicted
    return Difficulties(best.instructions, (np.log(p / (1 - p)) - intercept) / slope)


def features(annotations: Annotations, difficulty: Floats | None) -> tuple[Floats, Floats]:
    """(k, 3 or 2) Design matrix and (k,) preferences of the k annotated instructions.

    Columns: tanh of the length difference (baseline minus model, in standard deviations), difficulty if
    given, 1.
    """
    delta = annotations.baseline_length - annotations.length
    spread = delta.std(ddof=1) if len(delta) > 1 else 0.0
    length = np.tanh(delta / spread) if spread else np.zeros_like(delta)
    columns = [length, *([] if difficulty is None else [difficulty]), np.ones_like(length)]
    annotated = ~np.isnan(annotations.preference)
    return np.column_stack(columns)[annotated], annotations.preference[annotated]


@dataclass(frozen=True)
class GamedTerm:
    """A quadratic in the length and difficulty coefficients: gradient at 0 (2,), and curvature (2, 2)."""

    gradient: Floats
    curvature: Floats


@dataclass(frozen=True)
class LengthControl:
    """What a length-controlled win rate needs beside the annotations, recovered from released ones.

    Attributes:
        difficulties: of the instructions.
        gamed: the gamed baselines' part of the likelihood; None if there was too little to estimate it from.
    """

    difficulties: Difficulties
    gamed: GamedTerm | None

    def preferences(self, annotations: Annotations) -> Floats | None:
        """(n,) Preferences at equal lengths, by a fit to annotations; None without the gamed term."""
        if self.gamed is None:
            return None
        d = self.difficulties.of(annotations)
        return at_equal_length(fit(*features(annotations, d), self.gamed), d, len(d))

    def as_json(self) -> dict[str, Any]:
        """For a file; :meth:`read` reads it."""
        gamed = self.gamed and [self.gamed.gradient.tolist(), self.gamed.curvature.tolist()]
        return {
            "instructions": self.difficulties.instructions,
            "difficulties": self.difficulties.values.tolist(),
            "gamed": gamed,
        }

    @classmethod
    def read(cls, path: Path) -> LengthControl:
        """Read what :meth:`as_json` gave.

        Raises:
            DataError: a missing file, or one of another shape.
        """
        try:
            found = read_json(path)
            values = np.array(found["difficulties"], dtype=float)
            instructions, gamed = [str(text) for text in found["instructions"]], found["gamed"]
            term = gamed and GamedTerm(np.array(gamed[0], dtype=float), np.array(gamed[1], dtype=float))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{path}: not a file of `rewild length-control`: {error}") from error
        if len(values) != len(instructions):
            raise DataError(f"{path}: {len(instructions)} instructions, but {len(values)} difficulties")
        return cls(Difficulties(instructions, values), term)


def estimate_gamed_term(models: Sequence[tuple[Floats, Floats, Floats]]) -> GamedTerm | None:
    """The gamed data's part of the log-likelihood, from models' published coefficients.

    At a model's solution b the score equation reads: Xᵀ(y − p) + gamed gradient(b) = s · sign(b), where s
    is the strength of the L1 penalty. Its last row has no gamed part and gives s; the first two then give
    the gradient.

    Args:
        models: design matrix (k, 3), preferences (k,) and published coefficients (3,) of each model.

    Returns:
        The quadratic that fits the gradients best, or None with fewer than three models.
    """
    if len(models) < 3:
        return None
    design: list[list[float]] = []
    gradients: list[float] = []
    for x, y, b in models:
        score = x.T @ (y - logistic(x @ b))
        # gradient = g − H·b with H symmetric; unknown are g1, g2, h11, h12 and h22.
        design += [[1, 0, -b[0], -b[1], 0], [0, 1, 0, -b[0], -b[1]]]
        gradients += list(abs(score[2]) * np.sign(b[:2]) - score[:2])
    g1, g2, h11, h12, h22 = np.linalg.lstsq(np.array(design), np.array(gradients), rcond=None)[0]
    values, vectors = np.linalg.eigh(np.array([[h11, h12], [h12, h22]]))
    return GamedTerm(np.array([g1, g2]), (vectors * np.maximum(values, 0)) @ vectors.T)


def fit(x: Floats, y: Floats, gamed: GamedTerm | None = None) -> Floats:
    """(columns,) Coefficients that maximise the log-likelihood of preferences in [0, 1], plus the gamed term.

    Newton's method with halved steps; the problem is concave, so the solution is the only one.

    Args:
        x: (n, columns) design matrix.
        y: (n,) preferences.
        gamed: the quadratic in the first two coefficients.
    """
    size = x.shape[1]
    linear, curvature = np.zeros(size), _RIDGE * np.eye(size)
    if gamed is not None:
        linear[:2] += gamed.gradient
        curvature[:2, :2] += gamed.curvature

    def value(b: Floats) -> float:
        e = x @ b
        return float(y @ e - np.logaddexp(0, e).sum() + linear @ b - 0.5 * b @ curvature @ b)

    b = np.zeros(size)
    for _ in range(100):
        p = logistic(x @ b)
        gradient = x.T @ (y - p) + linear - curvature @ b
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + curvature, gradient)
        scale = 1.0
        while value(b + scale * step) < value(b) and scale > 1e-6:
            scale /= 2
        b = b + scale * step
        if np.abs(scale * step).max() < 1e-10:
            break
    return b


def at_equal_length(b: Floats, difficulty: Floats | None, n: int) -> Floats:
    """(n,) Preferences predicted at equal lengths."""
    if difficulty is None:
        return logistic(np.full(n, b[-1]))
    return logistic(b[1] * difficulty + b[2])
