"""Scores of answers, and from them the pairs: the best answer to a prompt and the worst."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.config.base import identity
from rewild.config.models import Model
from rewild.config.preferences import Preference, identity_of_pairs, preference_shards
from rewild.config.study import Study
from rewild.core.errors import DataError
from rewild.core.files import sha256, write_json, write_text
from rewild.core.markdown import as_json, code, table
from rewild.core.markdown import text as escape
from rewild.core.table import about_table, provenance, read_table, write_table
from rewild.engines.tokenizer import Count
from rewild.generation.rows import reason_of
from rewild.prompts.filters import step_lines
from rewild.prompts.schema import SHARD
from rewild.training.mixes.card import lengths, model_terms
from rewild.training.mixes.draw import priorities
from rewild.training.preference_schema import ANSWERS, DROPPED, PAIRS, SCORES
from rewild.training.preferences.answers import answers_of
from rewild.training.preferences.job import seed_of
from rewild.training.preferences.scorers import Grade, Grader, Item

SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace())  # what chat templates trim: Python's


def score_answers(
    scorer: Callable[[], Grader], preference: Preference, prompts: Path, answers: Path, out: Path
) -> pl.DataFrame:
    """Grade every answer of a shard that may be graded; the others keep the reason why not.

    Args:
        scorer: makes the scorer; called only if there is something to grade.
        preference: the set's row: which answers are graded.
        prompts: ``prompts.parquet``.
        answers: ``answers/{shard}.parquet``.
        out: ``scores/{shard}.parquet``.

    Returns:
        The rows of :data:`SCORES`.
    """
    asked = read_table(prompts, SHARD).select("conversation_id", "messages")
    frame = read_table(answers, ANSWERS, allow_empty=True).join(
        asked, on="conversation_id", how="left", maintain_order="left"
    )
    if (lost := frame["messages"].is_null()).any():
        raise DataError(
            f"{answers}: prompt {frame.filter(lost)['conversation_id'][0]} is not in {prompts}; answer again"
        )
    frame = frame.with_columns(unfit=_unfit(preference))
    given = frame.filter(pl.col("unfit").is_null())
    items = [
        Item(
            f"{row['conversation_id']}/{row['sample']}",
            tuple(row["messages"]),
            row["response"],
            row["seed"] or 0,
        )
        for row in given.iter_rows(named=True)
    ]
    grades = _grades(scorer, items)
    graded = given.select("conversation_id", "sample").with_columns(
        score=pl.Series([g.score for g in grades], dtype=pl.Float64),
        failure=pl.Series([g.failure for g in grades], dtype=pl.String),
    )
    left = frame.filter(pl.col("unfit").is_not_null()).select(
        "conversation_id", "sample", score=pl.lit(None, dtype=pl.Float64), failure="unfit"
    )
    scores = pl.concat([graded, left]).sort("conversation_id", "sample")
    write_table(out, scores, SCORES, provenance([prompts, answers], grading=identity(preference, "grades")))
    return scores


def _unfit(preference: Preference) -> pl.Expr:
    """Why an answer is not graded, as ``reason: detail``; null if it is."""
    reasons = [("no_answer", pl.col("response").is_null(), pl.col("failure").fill_null("unknown"))]
    if preference.unfinished == "drop":
        cut = pl.col("finish_reason") == "length"
        reasons.append(("unfinished", cut, pl.format("cut off after {} tokens", "output_tokens")))
    for reason, column, most in (
        ("too_repetitive", "repetition", preference.repetition),
        ("too_garbled", "garbled", preference.garbled),
    ):
        if most is not None:
            reasons.append((reason, pl.col(column) > most, pl.col(column).round(4).cast(pl.String)))
    found = pl.lit(None, dtype=pl.String)
    for reason, condition, detail in reversed(reasons):
        said = pl.concat_str(pl.lit(f"{reason}: "), detail.fill_null("unknown"))
        found = pl.when(condition.fill_null(False)).then(said).otherwise(found)
    return found


def _grades(scorer: Callable[[], Grader], items: Sequence[Item]) -> list[Grade]:
    if not items:
        return []
    grader = scorer()
    try:
        grades = grader.grade(items)
    finally:
        grader.close()
    if len(grades) != len(items):
        raise DataError(f"the scorer gave {len(grades)} grades to {len(items)} answers")
    return grades


def make_pairs(
    prompts: pl.DataFrame, answers: pl.DataFrame, scores: pl.DataFrame, preference: Preference, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The best and the worst answer to each prompt.

    Of equal scores the best is the first sample and the worst the last. White space around an answer is left
    out: chat templates trim it, and Axolotl's DPO then looks for the answer in vain.

    Args:
        prompts: :data:`rewild.prompts.schema.SHARD`, every message up to the user turn answered.
        answers: :data:`ANSWERS` of all of them.
        scores: :data:`SCORES` of all of them.
        preference: what a pair needs.
        seed: of the order of pairs.

    Returns:
        :data:`PAIRS` in training order, and :data:`DROPPED`; together as many rows as there are prompts.
    """
    scored = answers.join(scores.drop("failure"), on=["conversation_id", "sample"], how="inner").filter(
        pl.col("score").is_not_null() & pl.col("response").is_not_null()
    )
    ranked = scored.sort(["conversation_id", "score", "sample"], descending=[False, True, False])
    ends = ranked.group_by("conversation_id", maintain_order=True).agg(
        scored=pl.len(),
        best=pl.col("response").str.strip_chars(SPACE).first(),
        worst=pl.col("response").str.strip_chars(SPACE).last(),
        chosen_score=pl.col("score").first(),
        rejected_score=pl.col("score").last(),
    )
    table = prompts.join(ends, on="conversation_id", how="left", maintain_order="left").with_columns(
        pl.col("scored").fill_null(0)
    )
    gap = pl.col("chosen_score") - pl.col("rejected_score")
    reasons = (
        (
            "too_few_scored",
            pl.col("scored") < preference.at_least,
            pl.format("{} answers have a score", "scored"),
        ),
        ("tie", gap == 0, pl.format("all of {} answers score {}", "scored", "chosen_score")),
        ("within_margin", gap <= preference.margin, pl.format("{} and {}", "chosen_score", "rejected_score")),
        (
            "same_answer",
            pl.col("best") == pl.col("worst"),
            pl.lit("the best and the worst are the same text"),
        ),
    )
    reason, detail = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
    for name, condition, found in reversed(reasons):
        applies = condition.fill_null(False)
        reason = pl.when(applies).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(applies).then(found).otherwise(detail)
    table = table.with_columns(reason=reason, detail=detail)
    dropped = table.filter(pl.col("reason").is_not_null()).select("reason", "detail", id="conversation_id")
    _, order = priorities(seed, "", table["conversation_id"].to_list())
    pairs = (
        table.with_columns(order=pl.Series(order))
        .filter(pl.col("reason").is_null())
        .sort("order", "conversation_id")
        .select(
            "language",
            "messages",
            "chosen_score",
            "rejected_score",
            "scored",
            id="conversation_id",
            chosen=pl.struct(role=pl.lit("assistant"), content="best"),
            rejected=pl.struct(role=pl.lit("assistant"), content="worst"),
        )
    )
    return PAIRS.check(pairs, "pairs"), DROPPED.check(dropped.sort("id"), "dropped prompts")


def pair(study: Study, name: str, folder: Path) -> pl.DataFrame:
    """Write ``train.parquet`` and ``dropped.csv`` of a set of preference pairs; gives the pairs.

    Args:
        study: whose set.
        name: the set's name.
        folder: ``results/{study}/preferences/{name}``, with prompts, answers and scores.

    Raises:
        DataError: a file is missing or malformed, an answer has no row of scores, or no pair is left.
    """
    preference = study.preferences[name]
    shards, seed = preference_shards(preference), seed_of(study, preference)
    prompts = read_table(folder / "prompts.parquet", SHARD)
    answers, scores = answers_of(folder, shards), _scores(folder, shards)
    expected = prompts.height * preference.samples
    for what, frame in (("answers", answers), ("scores", scores)):
        if frame.height != expected:
            raise DataError(
                f"{folder}: {frame.height:,} {what} for {prompts.height:,} prompts of {preference.samples} "
                "samples; make them again"
            )
    pairs, dropped = make_pairs(prompts, answers, scores, preference, seed)
    if pairs.is_empty():
        why = ", ".join(f"{n:,} {r}" for r, n in sorted(Counter(dropped["reason"].to_list()).items()))
        raise DataError(f"preferences {name}: no pair is left of {prompts.height:,} prompts ({why})")
    made_from = {
        "seed": seed,
        "settings": identity_of_pairs(preference),
        "recipes": sorted(set(answers["recipe"].to_list())),
        "grading": sorted({_settings(file) for file in _score_files(folder, shards)}),
    }
    train = folder / "train.parquet"
    write_table(train, pairs, PAIRS, provenance([], **made_from))
    write_table(folder / "dropped.csv", dropped, DROPPED, provenance([train]))
    return pairs


def write_pairs_card(
    study: Study, name: str, folder: Path, *, models: Mapping[str, Model], count: Count | None
) -> dict[str, Any]:
    """Write ``card.json`` and ``card.md`` beside what :func:`pair` wrote.

    Args:
        study: whose set.
        name: the set's name.
        folder: ``results/{study}/preferences/{name}``.
        models: the table of models, for licences.
        count: the tokenizer of the row; None counts no tokens.

    Raises:
        DataError: a file is missing or malformed.
    """
    preference, train = study.preferences[name], folder / "train.parquet"
    pairs = read_table(train, PAIRS)
    dropped = read_table(folder / "dropped.csv", DROPPED, allow_empty=True)
    scores = _scores(folder, preference_shards(preference))
    reasons = Counter(reason_of(f) for f in scores["failure"].drop_nulls().to_list())
    drawn = about_table(folder / "prompts.parquet")["provenance"]["settings"]
    steps = drawn.get("filters", [])
    card = {
        "study": study.name,
        "set": name,
        "title": preference.title or preference.label or name,
        "pairs": pairs.height,
        "prompts": pairs.height + dropped.height,
        "prompts_drawn_from": drawn["outcomes"],
        **({"filters": steps} if steps else {}),
        "dropped": dict(sorted(Counter(dropped["reason"].to_list()).items())),
        "answers": scores.height,
        "answers_without_score": dict(sorted(reasons.items())),
        "scores": {
            "chosen": _spread(pairs["chosen_score"]),
            "rejected": _spread(pairs["rejected_score"]),
            "difference": _spread(pairs["chosen_score"] - pairs["rejected_score"]),
        },
        "characters": {side: lengths(_texts(pairs, side).str.len_chars().to_numpy()) for side in SIDES},
        "tokenizer": preference.tokenizer,
        "tokens": {side: lengths(np.array(count(_texts(pairs, side).to_list()))) for side in SIDES}
        if count
        else None,
        "languages": dict(sorted(Counter(pairs["language"].to_list()).items(), key=lambda i: (-i[1], i[0]))),
        "licences": [
            f"prompts: {preference.licence or 'not stated in the study'}",
            f"answers: {model_terms(preference.model, models)}",
        ],
        "checksums": {"train.parquet": sha256(train)},
        "made_from": about_table(train)["provenance"]["settings"],
    }
    write_json(folder / "card.json", card)
    write_text(folder / "card.md", markdown(card))
    return card


SIDES = ("chosen", "rejected")


def _texts(pairs: pl.DataFrame, side: str) -> pl.Series:
    return pairs[side].struct.field("content")


def _score_files(folder: Path, shards: Sequence[str]) -> list[Path]:
    return [folder / "scores" / f"{shard}.parquet" for shard in shards]


def _scores(folder: Path, shards: Sequence[str]) -> pl.DataFrame:
    return pl.concat([read_table(f, SCORES, allow_empty=True) for f in _score_files(folder, shards)])


def _settings(scores: Path) -> str:
    about = about_table(scores)
    return json.dumps(about["provenance"]["settings"]["grading"], sort_keys=True)


def _spread(values: pl.Series) -> dict[str, float]:
    numbers = values.to_numpy()
    return {
        "mean": round(float(numbers.mean()), 6),
        "min": float(numbers.min()),
        "median": round(float(np.median(numbers)), 6),
        "max": float(numbers.max()),
    }


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    settings = card["made_from"]["settings"]
    scorer = settings["scorer"]["kind"]
    what = {
        "rubric": "a program by the rubric of rewild/engines/rubric/grades.py, not a language model",
        "judge": f"the judge {escape(settings['scorer'].get('model'))}",
        "reward-model": f"the reward model {escape(settings['scorer'].get('path'))}",
    }[scorer]
    lengths = (
        (f"{side}, {unit}", found["mean"], found["median"], found["max"])
        for unit in ("characters", "tokens")
        for side, found in (card[unit] or {}).items()
    )
    lines = [
        f"# {escape(card['title'])}",
        "",
        f"{card['pairs']:,} preference pairs of {card['prompts']:,} prompts: {settings['samples']} answers "
        f"of {code(settings['model'])} to each at temperature {settings['sampling']['temperature']:g}, "
        f"graded by {what}; the best answer is `chosen`, the worst `rejected`.",
        "",
        *table(
            "prompts | ", (card["prompts_drawn_from"] | card["dropped"] | {"pairs": card["pairs"]}).items()
        ),
        "",
        *table("answers | ", ({"asked for": card["answers"]} | card["answers_without_score"]).items()),
        "",
        *table(
            "scores | mean | min | median | max",
            ((side, *(f"{v:g}" for v in found.values())) for side, found in card["scores"].items()),
        ),
        "",
        *table("length | mean | median | max", lengths),
        "",
        *table("language | pairs", card["languages"].items()),
    ]
    if "filters" in card:
        lines += ["", "Filters of the prompts, in their order:", ""]
        lines += step_lines({"prompts": card["filters"]})
    lines += ["", "Terms:", "", *(f"- {escape(line)}" for line in card["licences"])]
    lines += ["", "Checksums:", ""]
    lines += [f"- {code(file)}: SHA-256 `{digest}`" for file, digest in card["checksums"].items()]
    lines += ["", "Made from:", "", *as_json(card["made_from"])]
    return "\n".join(lines)
