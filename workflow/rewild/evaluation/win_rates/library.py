"""The ``alpaca_eval`` library, in its own environment (envs/alpaca-eval.txt): annotators and length control.

The library needs df_gamed.csv from the Hugging Face hub for every length-controlled model, even for those
that do not use its gamed annotations. Where the hub answers, this runs the leaderboard's model,
length_controlled_v1. Where it does not, the file is replaced by one that holds the recovered difficulties
and gamed rows without weight, and the library's unregularised model, length_controlled_noreg, is run
instead.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.evaluation.win_rates.annotations import Floats, model_name
from rewild.evaluation.win_rates.schema import DIFFICULTIES

LEADERBOARD_MODEL = "length_controlled_v1"
NEAREST = {LEADERBOARD_MODEL: "lc_offline", "length_controlled_noreg": "lc_no_gamed"}
"""The library's model → our metric that is meant to be the same."""
ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
"""The leaderboard's annotator: prompt, order of the two outputs, and how a reply is read."""

SIDES = {"generator_1": "baseline", "generator_2": "model"}
"""How annotations name the two sides; the library needs names that differ."""

Complete = Callable[[str], Mapping[str, Any] | None]
"""A prompt's completion, ``{"text": ..., "logprobs": ...}`` as OpenAI's interface has it; None: failed."""


def run_library(
    paths: Sequence[Path], rates: pl.DataFrame, difficulties: pl.DataFrame, offline: bool = False
) -> pl.DataFrame:
    """Length-controlled win rates by the library (:data:`~rewild.evaluation.win_rates.schema.LIBRARY`).

    Args:
        paths: annotation files.
        rates: :data:`~rewild.evaluation.win_rates.schema.WIN_RATES`, to name the models and to compare with.
        difficulties: :data:`~rewild.evaluation.win_rates.schema.DIFFICULTIES`, used if the hub cannot be
            reached.
        offline: do not try the hub.

    Raises:
        DataError: the library is not installed.
    """
    known = set(rates["model"])
    rows = []
    with _imported() as library, tempfile.TemporaryDirectory() as folder:
        import pandas as pd

        name = LEADERBOARD_MODEL
        if offline or not _hub_answers(library):
            name = "length_controlled_noreg"
            stand_in = Path(folder) / "df_gamed.csv"
            DIFFICULTIES.check(difficulties, "difficulties").select(
                pl.lit("none").alias("model"),
                pl.col("position").alias("index"),
                pl.col("difficulty").alias("instruction_difficulty"),
                pl.lit(0.0).alias("std_delta_len"),
                pl.lit(0.5).alias("preference"),
                pl.lit("False").alias("not_gamed_baseline"),
            ).write_csv(stand_in)
            library.hf_hub_download = lambda **_: str(stand_in)
        for path in paths:
            frame = pd.read_json(path, precise_float=True)
            metrics = library.get_length_controlled_winrate(frame, glm_name=name, save_weights_dir=None)
            rows.append(
                {
                    "model": model_name(str(frame["generator_2"].iloc[0]), path, known),
                    "metric": name,
                    "value": float(metrics["length_controlled_winrate"]),
                    "standard_error": float(metrics["lc_standard_error"]),
                }
            )
    found = pl.DataFrame(rows).sort("model")
    ours = rates.filter(pl.col("metric") == NEAREST[name]).select("model", pl.col("value").alias("offline"))
    return found.join(ours, on="model", how="left", maintain_order="left").with_columns(
        (pl.col("offline") - pl.col("value")).alias("difference")
    )


def annotate(
    pairs: Sequence[Mapping[str, str]], complete: Complete, *, weighted: bool
) -> list[dict[str, Any]]:
    """The annotations that the library's annotator makes of a judge's replies.

    Args:
        pairs: ``instruction``, ``dataset``, ``output_1`` (the baseline's) and ``output_2`` (the model's).
            Equal outputs are a draw, without a reply.
        complete: gives the judge's reply to a prompt, in the library's chat markup.
        weighted: read log-probabilities, as the leaderboard does; else the one letter that was written.

    Returns:
        The pairs in their order with ``preference``, from 1 (the baseline) to 2 (the model), or None.

    Raises:
        DataError: the library is not installed.
    """
    with _imported():
        import pandas as pd
        from alpaca_eval.annotators import PairwiseAnnotator
        from alpaca_eval.completion_parsers import regex_parser

        annotator = PairwiseAnnotator(annotators_config=ANNOTATOR, caching_path=None)
        (single,) = annotator.annotators.values()
        if not weighted:
            single.completion_key = "completions"
            single.fn_completion_parser = partial(
                regex_parser, outputs_to_match={1: r"^\W*m\W*$", 2: r"^\W*M\W*$"}
            )

        def completions(prompts: Sequence[str], **_: Any) -> dict[str, list[Any]]:
            found = [complete(prompt) or {"text": ""} for prompt in prompts]
            zeros = [0.0] * len(found)
            return {
                "completions": [completion["text"] for completion in found],
                "completions_all": [dict(completion) for completion in found],
                "price_per_example": zeros,
                "time_per_example": zeros,
            }

        single.fn_completions = completions
        shared = [{"instruction": pair["instruction"], "dataset": pair["dataset"]} for pair in pairs]
        sides = [
            [
                row | {"output": pair[f"output_{i}"], "generator": name}
                for row, pair in zip(shared, pairs, strict=True)
            ]
            for i, name in enumerate(SIDES.values(), 1)
        ]
        with redirect_stderr(StringIO()):  # its progress bars
            annotated = annotator.annotate_head2head(*sides, chunksize=None)
    made = {row["instruction"]: row for row in annotated}
    found = []
    for pair in pairs:
        value = made[pair["instruction"]]["preference"]
        found.append({**pair, **SIDES, "preference": None if pd.isna(value) else float(value)})
    return found


def length_controlled(rows: Sequence[Mapping[str, Any]], positions: Sequence[int]) -> Floats | None:
    """(n,) Preferences at equal lengths, 0 to 1, by the leaderboard's model; None if the hub does not answer.

    Args:
        rows: annotations with a preference.
        positions: of each among the 805 instructions, from 0. The library takes an instruction's difficulty
            by its position, so rows that are missing must not move the others.

    Raises:
        DataError: the library is not installed.
    """
    with _imported() as library:
        import pandas as pd

        if not _hub_answers(library):
            return None
        frame = pd.DataFrame([dict(row) for row in rows], index=list(positions))
        library.get_length_controlled_winrate(frame, glm_name=LEADERBOARD_MODEL, save_weights_dir=None)
        predicted: Floats = frame["glm_preference"].to_numpy(dtype=float)
        return predicted


@contextmanager
def _imported() -> Iterator[Any]:
    """The library's module of length control; its warnings and log lines are held back meanwhile."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from alpaca_eval.metrics import glm_winrate
            except ImportError as error:
                raise DataError(
                    f"the alpaca_eval library cannot be imported ({error}): "
                    "run this in an environment made from envs/alpaca-eval.txt"
                ) from error
            yield glm_winrate
    finally:
        logging.disable(disabled)


def _hub_answers(module: Any) -> bool:
    """Whether df_gamed.csv can be had, from the cache or the hub."""
    try:
        module.hf_hub_download(repo_id="tatsu-lab/alpaca_eval", filename="df_gamed.csv", repo_type="dataset")
    except Exception:  # any failure of the network, the hub or the cache: the answer is no
        return False
    return True
