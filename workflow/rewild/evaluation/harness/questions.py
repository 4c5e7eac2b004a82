"""Questions of benchmarks in local files: ``FOLDER/TASK/SPLIT.jsonl``, rows as the hub's data set has them.

:func:`convert` makes such a folder from the files that the benchmarks' authors released on GitHub, for
machines that do not reach the hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rewild.core import reading
from rewild.core.errors import DataError, known_name, nearest
from rewild.core.files import sha256, write_text

Row = dict[str, Any]
WHAT = "questions as JSON lines"


def splits_of(folder: Path, task: str) -> dict[str, Path]:
    """The files of one leaf task: split → file.

    Raises:
        DataError: there is none; the message names the folder.
    """
    found = {file.stem: file for file in sorted((folder / task).glob("*.jsonl"))}
    if not found:
        there = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        hint = nearest(task, there) if there else ""
        raise DataError(f"{folder / task}: no questions of {task} (SPLIT.jsonl was expected there){hint}")
    return found


def check_rows(file: Path, columns: Sequence[str]) -> int:
    """The number of questions in a file.

    Raises:
        DataError: no rows, a line that is not a JSON object, or a question without one of ``columns``; the
            message names file and line.
    """
    rows = 0
    for line, row in _rows(file):
        rows += 1
        for column in columns:
            if row.get(column) is None:
                has = ", ".join(row) or "nothing"
                raise DataError(
                    f"{file}, line {line}: '{column}' is missing{nearest(column, row)} (it has: {has})"
                )
    if not rows:
        raise DataError(f"{file}: no questions in it")
    return rows


def hash_files(folder: Path) -> dict[str, str]:
    """``TASK/SPLIT.jsonl`` → SHA-256 of every file of a folder of questions.

    Raises:
        DataError: one of them is a folder, or cannot be read.
    """
    found = sorted(folder.glob("*/*.jsonl"))
    for file in found:
        reading.open_file(file, WHAT).close()
    return {str(p.relative_to(folder)): sha256(p) for p in found}


def override(task: str, definition: Path, splits: dict[str, Path], folder: Path) -> None:
    """Write a task definition that is lm-eval's own, but reads local files.

    Args:
        task: the leaf task.
        definition: lm-eval's file for it.
        splits: split → file.
        folder: where to; give it to lm-eval as ``include_path``.
    """
    made = {
        "include": str(definition.resolve()),
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(file.resolve()) for split, file in splits.items()}},
    }
    write_text(folder / f"{task}.yaml", json.dumps(made, indent=2) + "\n")  # JSON is YAML


def pin(task: str, definition: Path, revision: str, folder: Path) -> None:
    """Write a task definition that is lm-eval's own, but reads the hub's data set at one commit.

    Args: as of :func:`override`; ``revision`` is the commit.
    """
    made = {"include": str(definition.resolve()), "task": task, "dataset_kwargs": {"revision": revision}}
    write_text(folder / f"{task}.yaml", json.dumps(made, indent=2) + "\n")


def convert(benchmark: str, files: Sequence[Path], out: Path) -> dict[str, int]:
    """Write released files of a benchmark as lm-eval's tasks read them.

    Args:
        benchmark: one of :data:`RELEASED`.
        files: the released files, in any order; those that the leaderboard leaves out are passed over.
        out: folder of ``TASK/SPLIT.jsonl``.

    Returns:
        Leaf task → number of questions written.

    Raises:
        ConfigError: a benchmark that cannot be converted.
        DataError: a file that is not of the benchmark, or a row that lacks a column.
    """
    known_name(benchmark, RELEASED, "unknown benchmark", listed="released files can be read of")
    written: dict[str, list[Row]] = {}
    where: dict[str, str] = {}
    for file in sorted(files):
        for task, split, row in RELEASED[benchmark](file):
            written.setdefault(task, []).append(row)
            where[task] = split
    if not written:
        raise DataError(f"no question of {benchmark} in {', '.join(map(str, files)) or 'no files'}")
    for task, rows in written.items():
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        write_text(out / task / f"{where[task]}.jsonl", "".join(f"{line}\n" for line in lines))
    return {task: len(rows) for task, rows in sorted(written.items())}


def _rows(file: Path) -> Iterator[tuple[int, Row]]:
    for number, row in reading.read_json_lines(file, WHAT):
        if not isinstance(row, dict):
            raise DataError(f"{file}, line {number}: an object was expected, not {type(row).__name__}")
        yield number, row


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where}: a list was expected, not {type(value).__name__}")
    return value


def _text(row: Row, key: str, where: str) -> str:
    if not isinstance(row[key], str):
        raise DataError(f"{where}: '{key}' is text, not {type(row[key]).__name__}")
    return str(row[key])


def _take(row: Any, keys: Sequence[str], where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"{where}: an object was expected, not {type(row).__name__}")
    for key in keys:
        known_name(key, row, f"{where}:", after=" is missing", listed="it has", error=DataError)
    return {key: row[key] for key in keys}


def _bbh(file: Path) -> Iterator[tuple[str, str, Row]]:
    if file.stem in NOT_ON_THE_LEADERBOARD:
        return
    whole = _take(reading.read_json(file, "questions of BBH"), ["examples"], str(file))
    for i, row in enumerate(_list(whole["examples"], f"{file}: 'examples'"), 1):
        taken = _take(row, ["input", "target"], f"{file}, example {i}")
        for key in taken:
            _text(taken, key, f"{file}, example {i}")
        yield f"leaderboard_bbh_{file.stem}", "test", taken


def _musr(file: Path) -> Iterator[tuple[str, str, Row]]:
    subtask = file.stem.removeprefix("small_")
    subtask = {"murder_mystery": "murder_mysteries"}.get(subtask, subtask)
    for i, story in enumerate(_list(reading.read_json(file, "questions of MuSR"), str(file)), 1):
        told = _take(story, ["context", "questions"], f"{file}, story {i}")
        _text(told, "context", f"{file}, story {i}")
        for j, asked in enumerate(_list(told["questions"], f"{file}, story {i}: 'questions'"), 1):
            where = f"{file}, story {i}, question {j}"
            found = _take(asked, ["question", "choices", "answer"], where)
            _text(found, "question", where)
            choices, right = _list(found["choices"], f"{where}: 'choices'"), found["answer"]
            if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(choices):
                last = len(choices) - 1
                raise DataError(f"{where}: 'answer' is a choice's place, 0 to {last}, not {right!r:.60}")
            yield (
                f"leaderboard_musr_{subtask}",
                subtask,
                {
                    "narrative": told["context"],
                    "question": found["question"],
                    "choices": repr([str(choice) for choice in choices]),  # the task reads it so
                    "answer_index": right,
                    "answer_choice": choices[right],
                },
            )


def _math(file: Path) -> Iterator[tuple[str, str, Row]]:
    for number, row in _rows(file):
        keys = ["problem", "solution", "level", "subject"]
        taken = _take(row, keys, f"{file}, line {number}")
        for key in ("problem", "solution", "subject"):
            _text(taken, key, f"{file}, line {number}")
        what = f"{file}, line {number}: unknown subject"
        known_name(taken["subject"], MATH_SUBJECTS, what, error=DataError)
        task = f"leaderboard_math_{MATH_SUBJECTS[taken['subject']]}_hard"
        yield task, "test", {**taken, "level": f"Level {taken['level']}", "type": taken.pop("subject")}


def _ifeval(file: Path) -> Iterator[tuple[str, str, Row]]:
    for number, row in _rows(file):
        keys = ["key", "prompt", "instruction_id_list", "kwargs"]
        taken = _take(row, keys, f"{file}, line {number}")
        _text(taken, "prompt", f"{file}, line {number}")
        for key in ("instruction_id_list", "kwargs"):
            _list(taken[key], f"{file}, line {number}: '{key}'")
        yield "leaderboard_ifeval", "train", taken


NOT_ON_THE_LEADERBOARD = ("dyck_languages", "multistep_arithmetic_two", "word_sorting")
MATH_SUBJECTS = {
    "Algebra": "algebra",
    "Counting & Probability": "counting_and_prob",
    "Geometry": "geometry",
    "Intermediate Algebra": "intermediate_algebra",
    "Number Theory": "num_theory",
    "Prealgebra": "prealgebra",
    "Precalculus": "precalculus",
}
RELEASED: dict[str, Callable[[Path], Iterator[tuple[str, str, Row]]]] = {
    "bbh": _bbh,
    "musr": _musr,
    "math": _math,
    "ifeval": _ifeval,
}
"""How to read the files that each benchmark's authors released. MATH: the 500 of Lightman et al. (2023)."""
