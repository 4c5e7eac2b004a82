"""Reading annotations, the leaderboard and the published coefficients."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rewild.core.errors import DataError
from rewild.core.reading import read_csv, read_rows

Floats = npt.NDArray[np.float64]

COEFFICIENTS = ("np.tanh(std_delta_len)", "instruction_difficulty", "not_gamed_baseline.astype(float)")
"""The published coefficients, by column: of length, of difficulty, and the intercept."""


@dataclass(frozen=True)
class Annotations:
    """A judge's preferences between one model and the baseline, over n instructions.

    Attributes:
        path: the file.
        model: the model.
        instructions: n texts.
        preference: (n,) 0 for the baseline to 1 for the model; NaN where there is none.
        unrounded: (n,) the same from the judge's log-probabilities, where they are kept; else ``preference``.
        has_logprobs: whether any log-probabilities are kept.
        length: (n,) characters of the model's output.
        baseline_length: (n,) characters of the baseline's output.
        predicted: (n,) the preference that the library's model predicts at equal lengths, if the file has it.
    """

    path: Path
    model: str
    instructions: list[str]
    preference: Floats
    unrounded: Floats
    has_logprobs: bool
    length: Floats
    baseline_length: Floats
    predicted: Floats | None


def read_annotations(path: Path, known: Collection[str] = ()) -> Annotations:
    """Read one ``annotations.json``.

    The model is ``generator_2``. Where that is not a known name (one file says "example"), it is the nearest
    folder above the file that bears one, as in ``results/MODEL/ANNOTATOR/annotations.json``.

    A preference is 1 for the baseline to 2 for the model; 0 is an old way to write a draw (1.5); null and NaN
    are "no preference", and left out of means and counts.

    Raises:
        DataError: not JSON, not a list of annotations, a field missing, a preference that is no number from 1
            to 2, or several models in one file; names the file and the row, from 1.
    """
    rows = [row for _, row in read_rows(path, "annotations", nan=True)]
    if not rows:
        raise DataError(f"{path}: a list of annotations was expected, but there are no rows")
    return annotations_of(rows, path, known)


def annotations_of(rows: Sequence[Any], path: Path, known: Collection[str] = ()) -> Annotations:
    """The rows of an ``annotations.json``, checked; see :func:`read_annotations`. ``path`` names them."""
    preference: list[float] = []
    unrounded: list[float] = []
    kept = 0
    for i, row in enumerate(rows, 1):
        where = f"{path}, row {i}"
        _check(row, where)
        if row["generator_2"] != rows[0]["generator_2"]:
            raise DataError(
                f"{where}: of model '{row['generator_2']}', "
                f"but the file starts with '{rows[0]['generator_2']}'"
            )
        value = _preference(row["preference"], where)
        exact = _from_logprobs(row.get("raw_completion"), value)
        kept += exact is not None
        preference.append(value)
        unrounded.append(value if exact is None else exact)
    return Annotations(
        path=path,
        model=model_name(rows[0]["generator_2"], path, known),
        instructions=[row["instruction"] for row in rows],
        preference=np.array(preference),
        unrounded=np.array(unrounded),
        has_logprobs=kept > 0,
        length=np.array([len(row["output_2"]) for row in rows], dtype=float),
        baseline_length=np.array([len(row["output_1"]) for row in rows], dtype=float),
        predicted=_predicted([row.get("glm_preference") for row in rows], path),
    )


def model_name(generator: str, path: Path, known: Collection[str]) -> str:
    """``generator`` if it is known, else the nearest known folder above ``path``, else ``generator``."""
    if generator in known:
        return generator
    return next((folder.name for folder in path.parents if folder.name in known), generator)


def _check(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise DataError(f"{where}: an annotation is an object, not {type(row).__name__}")
    for key in ("instruction", "output_1", "output_2", "generator_2", "preference"):
        if key not in row:
            raise DataError(f"{where}: the field '{key}' is missing")
        if key != "preference" and not isinstance(row[key], str):
            raise DataError(f"{where}, field '{key}': text was expected, not {repr(row[key])[:60]}")


def _preference(value: Any, where: str) -> float:
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}, field 'preference': {repr(value)[:60]} is not a number") from None
    if math.isnan(number):
        return math.nan
    if number == 0:
        return 0.5
    if not 1 <= number <= 2:
        raise DataError(f"{where}, field 'preference': {value!r} is not a preference from 1 to 2")
    return number - 1


def _from_logprobs(completion: Any, preference: float) -> float | None:
    """The preference from the judge's log-probabilities of the tokens "m" and "M".

    Which token stands for the model was drawn at random and is not kept; the rounded preference tells.
    """
    try:
        top = {t["token"]: t["logprob"] for t in completion["logprobs"]["content"][0]["top_logprobs"]}
        small, large = (math.exp(top[t]) if t in top else 0.0 for t in ("m", "M"))
        p = small / (small + large)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        return None
    if not math.isfinite(p):
        return None
    nearest = min(p, 1 - p, key=lambda q: abs(q - preference))
    return nearest if abs(nearest - preference) < 1e-6 else None


def _predicted(values: list[Any], path: Path) -> Floats | None:
    if any(v is None for v in values):
        return None
    for i, v in enumerate(values, 1):
        if not isinstance(v, float) or not 0 < v < 1:
            raise DataError(f"{path}, row {i}, field 'glm_preference': {v!r} is not between 0 and 1")
    return np.array(values)


def read_leaderboard(path: Path) -> dict[str, dict[str, float | None]]:
    """Read the leaderboard: model → column → number, None where blank. The column ``mode`` is left out.

    Raises:
        DataError: a missing file or column, a model twice, or a cell that is not a number.
    """
    return _read_numbers(path, ("win_rate", "standard_error", "n_total"), skip=("mode",))


def read_coefficients(path: Path) -> dict[str, Floats]:
    """Read the published coefficients: model → (3,) in the order of :data:`COEFFICIENTS`."""
    found = {}
    for model, row in _read_numbers(path, COEFFICIENTS).items():
        for name in COEFFICIENTS:
            if row[name] is None:
                raise DataError(f"{path}: {model} has no coefficient '{name}'")
        found[model] = np.array([row[name] for name in COEFFICIENTS], dtype=float)
    return found


def _read_numbers(
    path: Path, needed: tuple[str, ...], skip: tuple[str, ...] = ()
) -> dict[str, dict[str, float | None]]:
    """A CSV file of numbers under names in its first column, whatever that column is called."""
    table: dict[str, dict[str, float | None]] = {}
    for line, row in read_csv(path, "a table of numbers", columns=needed):
        (_, model), *cells = row.items()
        if model in table:
            raise DataError(f"{path}, line {line}: '{model}' stands twice")
        table[model] = {
            name: _number(text, f"{path}, line {line}, column '{name}'")
            for name, text in cells
            if name not in skip
        }
    if not table:
        raise DataError(f"{path}: no rows")
    return table


def _number(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise DataError(f"{where}: {text[:60]!r} is not a number") from None
    if not math.isfinite(number):
        raise DataError(f"{where}: {text[:60]} is not a finite number")
    return number
