"""The card of a mix: what is in it, where it comes from, under which terms, how long it is.

Everything is counted in the finished ``train.parquet``, a row group at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from rewild.config.mixes import FromResponses, FromSamples, Mix, Source
from rewild.config.models import Model, find_model
from rewild.config.study import Study
from rewild.core.errors import RewildError
from rewild.core.files import sha256, write_json, write_text
from rewild.core.markdown import as_json, code, table
from rewild.core.markdown import text as escape
from rewild.core.table import about_table
from rewild.engines.tokenizer import Count, open_counter
from rewild.prompts.filters import step_lines
from rewild.responses.spec import local_folder
from rewild.training.mixes.measured import kept

QUANTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
TOKENS = (
    "tokens of the messages' texts; the chat template's own tokens (role headers, ends of turns) are not "
    "among them. train: of the answers, which the loss is computed on; total: of all messages"
)


def measure(train: Path, count: Count | None) -> dict[str, Any]:
    """Count what a mix holds.

    Args:
        train: ``train.parquet``.
        count: the tokenizer; None counts no tokens.

    Returns:
        Conversations, turns, characters, tokens (if counted), languages and lengths, in all and by source.
    """
    groups: dict[str, dict[str, list[Any]]] = {}
    languages: Counter[str] = Counter()
    dirty: Counter[str] = Counter()
    cut: Counter[str] = Counter()
    with pq.ParquetFile(train) as parquet:
        for group in range(parquet.num_row_groups):
            frame = pl.DataFrame(pl.from_arrow(parquet.read_row_group(group)))
            languages.update(frame["language"].to_list())
            dirty.update(frame["contaminated"].drop_nulls().to_list())
            cut.update(frame.filter("cut")["source"].to_list())
            sized = frame.with_columns(**_tokens(frame["messages"], count)) if count else frame
            for (source,), part in sized.partition_by("source", as_dict=True).items():
                found = groups.setdefault(str(source), {})
                for column in ("n_turns", "characters", "train_tokens", "total_tokens"):
                    if column in part.columns:
                        found.setdefault(column, []).append(part[column].to_numpy())
    by_source = {
        source: {c: np.concatenate(parts).astype(np.int64) for c, parts in g.items()}
        for source, g in groups.items()
    }
    everything = {
        c: np.concatenate([g[c] for g in by_source.values()]) for c in next(iter(by_source.values()))
    }
    return {
        **_summary(everything),
        "languages": dict(sorted(languages.items(), key=lambda item: (-item[1], item[0]))),
        "cut": sum(cut.values()),
        "contaminated": dict(sorted(dirty.items())),
        "by_source": {s: {**_summary(g), "cut": cut[s]} for s, g in sorted(by_source.items())},
    }


def _tokens(messages: pl.Series, count: Count) -> dict[str, pl.Series]:
    flat = (
        pl.DataFrame({"messages": messages})
        .with_row_index("row")
        .explode("messages")
        .select("row", pl.col("messages").struct.unnest())
    )
    sizes = np.array(count(flat["content"].to_list()), dtype=np.int64)
    row, answer = flat["row"].to_numpy(), (flat["role"] == "assistant").to_numpy()
    total = np.bincount(row, weights=sizes, minlength=len(messages)).astype(np.int64)
    train = np.bincount(row, weights=sizes * answer, minlength=len(messages)).astype(np.int64)
    return {"train_tokens": pl.Series(train), "total_tokens": pl.Series(total)}


def _summary(columns: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "conversations": len(columns["n_turns"]),
        "turns": int(columns["n_turns"].sum()),
        "answer_characters": lengths(columns["characters"]),
    }
    if "train_tokens" in columns:
        found["train_tokens"] = lengths(columns["train_tokens"])
        found["total_tokens"] = lengths(columns["total_tokens"])
    return found


def lengths(values: Any) -> dict[str, Any]:
    """Sum, mean and quantiles over conversations. A quantile is the smallest value that reaches it."""
    quantiles = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    return {
        "sum": int(values.sum()),
        "mean": round(float(values.mean()), 2),
        "min": int(values.min()),
        **{name: int(q) for name, q in zip(QUANTILES, quantiles, strict=True)},
        "max": int(values.max()),
    }


def licences(mix: Mix, models: Mapping[str, Model]) -> dict[str, list[str]]:
    """The terms of each source: source → sentences."""
    return {source.label: terms(source, models) for source in mix.sources}


def terms(source: Source, models: Mapping[str, Model]) -> list[str]:
    """What is known of the terms of one source; what is not known is said to be so."""
    if not isinstance(source, FromResponses | FromSamples):
        return [source.licence]
    prompts = source.licence or "not stated in the study"
    return [f"prompts: {prompts}", f"answers: {model_terms(source.model, models)}"]


def model_terms(model: str, models: Mapping[str, Model]) -> str:
    """The terms of a model, which bind what it wrote."""
    row = models.get(model)
    if row is None or row.licence is None:
        return f"{model}: its licence is not established"
    return f"{model}: {row.licence}"


def write_card(
    folder: Path,
    name: str,
    study: Study,
    outcomes: Mapping[str, Mapping[str, int]],
    *,
    models: Mapping[str, Model],
    count: Count | None,
) -> dict[str, Any]:
    """Write ``card.json`` and ``card.md`` beside ``train.parquet``.

    Args:
        folder: ``results/{study}/mixes/{mix}``.
        name: the mix's name.
        study: whose mix.
        outcomes: the result of :func:`rewild.training.mixes.build.build`.
        models: the table of models, for licences.
        count: the tokenizer of ``mix.tokenizer``; None counts no tokens.
    """
    mix = study.mixes[name]
    train = folder / "train.parquet"
    about = about_table(train)
    by_measures = kept(mix, study.measures, outcomes)
    card = {
        "study": study.name,
        "mix": name,
        "title": mix.title or mix.label or name,
        **measure(train, count),
        "tokenizer": mix.tokenizer,
        "tokens": TOKENS if count else None,
        "licences": licences(mix, models),
        "outcomes": {source: dict(found) for source, found in outcomes.items()},
        **({"measured": by_measures} if by_measures else {}),
        "checksums": {"train.parquet": sha256(train)},
        "made_from": about["provenance"],
    }
    write_json(folder / "card.json", card)
    write_text(folder / "card.md", markdown(card))
    return card


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    lines = [
        f"# {escape(card['title'])}",
        "",
        f"Mix {code(card['mix'])} of study {code(card['study'])}: {card['conversations']:,} conversations, "
        f"{card['turns']:,} turns.",
    ]
    if card["tokenizer"]:
        lines += [
            "",
            f"{card['train_tokens']['sum']:,} tokens are trained on, of {card['total_tokens']['sum']:,} in "
            f"all (tokenizer of {code(card['tokenizer'])}; {card['tokens']}).",
        ]
    terms = card["licences"]
    lines += ["", "## Sources", ""]
    lines += table(
        "source | conversations | turns | answer characters | terms",
        (
            (name, n["conversations"], n["turns"], n["answer_characters"]["sum"], "; ".join(terms[name]))
            for name, n in card["by_source"].items()
        ),
        "->>>-",
    )
    lengths = {"answers, characters": card["answer_characters"]}
    if card["tokenizer"]:
        lengths |= {"trained, tokens": card["train_tokens"], "all messages, tokens": card["total_tokens"]}
    heads = ("mean", "min", *QUANTILES, "max")
    lines += ["", "## Lengths of conversations", ""]
    lines += table(("", *heads), ((what, *(n[h] for h in heads)) for what, n in lengths.items()))
    lines += ["", "## What became of every conversation", ""]
    lines += table(
        "source | outcome | conversations",
        ((source, *one) for source, found in card["outcomes"].items() for one in found.items()),
        "-->",
    )
    if "measured" in card:
        lines += ["", "## Filters over measures", "", "In this order, after all other filters.", ""]
        lines += step_lines(card["measured"])
    lines += ["", f"{card['cut']:,} conversations were made shorter (length control, or an unanswered turn)."]
    if card["contaminated"]:
        lines += ["", "## Repeats of benchmarks that stay in the mix", ""]
        lines += table("benchmark | conversations", card["contaminated"].items())
    lines += ["", "## Languages", "", *table("language | conversations", card["languages"].items())]
    lines += ["", "## Checksums", ""]
    lines += [f"- {code(file)}: SHA-256 `{digest}`" for file, digest in card["checksums"].items()]
    lines += ["", "## Made from", "", *as_json(card["made_from"])]
    return "\n".join(lines)


def open_tokenizer(study: Study, model: str, models: Mapping[str, Model]) -> Count:
    """The counter of a model's tokens.

    Args:
        study: a model that it makes itself, or takes from a folder, is found there.
        model: its slug.
        models: the table of models.

    Raises:
        RewildError: no transformers here, an unknown model, or no tokenizer to load.
    """
    return open_counter(model, *where(study, model, models))


def where(study: Study, model: str, models: Mapping[str, Model]) -> tuple[str, str | None]:
    """A model's folder or hub id, and its revision."""
    folder = local_folder(study, model, models)
    if folder:
        return folder, None
    hub, revision = find_model(models, model).checkpoint()
    if hub is None:
        raise RewildError(f"model {model}: it is not on the hub, so its tokenizer cannot count tokens")
    return hub, revision
