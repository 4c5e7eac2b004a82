"""Is styling inherited by fine-tunes? Table 3 for a study's runs and the models whose responses they learned.

All answer the same prompts, or those of the sources that the study gives all of them (``origins``) count;
elements are counted as in Table 3, and a run is compared with each of the models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from math import log2
from operator import add
from pathlib import Path

import polars as pl

from rewild.config.models import Model
from rewild.config.study import Study
from rewild.config.trainings import display, learned_from, style_models
from rewild.core.errors import DataError
from rewild.core.files import write_text
from rewild.core.markdown import table as markdown_table
from rewild.core.markdown import text
from rewild.core.plotting import save
from rewild.core.table import Column, TableSchema, provenance, read_table, write_table
from rewild.generation.schema import RESPONSES
from rewild.measures.shared import TURN, left_out, shared_turns
from rewild.measures.style.counts import counts_frame
from rewild.measures.style.figures import ratios
from rewild.measures.style.markup import NOTHING, Styling, count_markdown
from rewild.measures.style.responses import proportions
from rewild.measures.style.schema import COUNTS, PER_1000_WORDS, PROPORTIONAL

INHERITED = TableSchema(
    name="inherited style",
    version=1,
    columns={
        "run": Column(pl.String, "The fine-tune (A)"),
        "model": Column(pl.String, "A model of the study, or another run (B)"),
        "learned_from": Column(pl.Boolean, "Whether the run was trained on this model's responses"),
        "mean": Column(pl.Float64, "Mean proportional frequency A / B over the elements that B has", True),
        "mean_per_1000_words": Column(pl.Float64, "The same with counts per 1,000 words", True),
        "log_distance": Column(
            pl.Float64, "Mean of |log2 (A + 1) / (B + 1)| over the elements: 0 is equal, 1 is twice or half"
        ),
        "undefined": Column(pl.Int64, "Elements that B does not have, of ten: without a ratio"),
    },
    key=("run", "model"),
)


def write_inheritance(study: Study, models: Mapping[str, Model], paths: Sequence[Path], out: Path) -> str:
    """Count, compare, write; the page that is written.

    Args:
        study: whose ``inherited_style``.
        models: the table of models, for names.
        paths: responses of the runs and the models, all shards of the same prompts.
        out: the folder of the results.

    Raises:
        DataError: responses are missing, or not to the same prompts.
    """
    assert study.inherited_style is not None
    wanted = style_models(study)
    chosen = study.responses is not None and any(study.responses.origins_of(m) for m in wanted)
    stylings, more = count(paths, wanted, chosen=chosen)
    counts = pl.concat([counts_frame(m, {"answer": stylings[m]}) for m in wanted])
    pairs = proportions(counts)
    runs = study.inherited_style.runs
    names = {m: display(study, m, models) if m in runs else _name(study, models, m) for m in wanted}
    table = compare(study, counts, pairs)
    made_from = provenance(paths)
    write_table(out / "counts.csv", counts, COUNTS, made_from)
    write_table(out / "proportional.csv", pairs, PROPORTIONAL, made_from)
    write_table(out / "inherited.csv", table, INHERITED, made_from)
    page = as_markdown(table, names, stylings, left_out(more))
    write_text(out / "inherited.md", page)
    save(
        ratios(pairs, names),
        out / "proportional",
        "Proportional frequencies of styling: fine-tunes and models",
    )
    return page


def count(
    paths: Sequence[Path], wanted: Sequence[str], *, chosen: bool = False
) -> tuple[dict[str, Styling], dict[str, int]]:
    """The styling of each model's answers to the turns that all were asked; how many more some were asked.

    Args:
        paths: responses, all shards of each.
        wanted: the models.
        chosen: the study says which sources each answers; else all must have been asked the same.

    Raises:
        DataError: a model has none, or two answered other prompts.
    """
    found: dict[str, list[pl.DataFrame]] = defaultdict(list)
    for path in paths:
        rows = read_table(path, RESPONSES).select("model", *TURN, "response")
        for (model,), part in rows.group_by("model", maintain_order=True):
            found[str(model)].append(part)
    tables: dict[str, pl.DataFrame] = {}
    for model in wanted:
        table = tables[model] = (
            pl.concat(found[model]) if found[model] else pl.DataFrame({"response": [None]})
        )
        if table["response"].null_count() == table.height:
            raise DataError(f"there are no answers of '{model}' among the {len(paths)} files of responses")
        first = tables[wanted[0]]
        if not chosen and set(table.select(TURN).iter_rows()) != set(first.select(TURN).iter_rows()):
            raise DataError(
                f"'{model}' and '{wanted[0]}' answered different prompts: they cannot be compared"
            )
    shared, more = shared_turns(tables)
    stylings = {}
    for model, table in tables.items():
        texts = table.join(shared, on=TURN, how="semi", maintain_order="left")["response"].drop_nulls()
        stylings[model] = reduce(add, map(count_markdown, texts), NOTHING)
    return stylings, more


def compare(study: Study, counts: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """:data:`INHERITED`: every run beside the others, and every model that any of them learned from."""
    assert study.inherited_style is not None
    runs = study.inherited_style.runs
    means = {
        (source, a, b): (value, undefined)
        for source, a, b, value, undefined in pairs.filter(pl.col("feature") == "mean")
        .select("source", "a", "b", "value", "undefined")
        .iter_rows()
    }
    features = pairs["feature"].unique().to_list()
    wide = counts.filter(pl.col("feature").is_in(features)).pivot("feature", index="model", values="value")
    values = {row.pop("model"): row for row in wide.to_dicts()}
    rows = []
    for run in runs:
        for model in [m for m in style_models(study) if m != run]:
            mean, undefined = means["answer", run, model]
            logs = [abs(log2(values[run][f] + 1) - log2(values[model][f] + 1)) for f in values[run]]
            rows.append(
                {
                    "run": run,
                    "model": model,
                    "learned_from": model in learned_from(study, run),
                    "mean": mean,
                    "mean_per_1000_words": means[PER_1000_WORDS, run, model][0],
                    "log_distance": sum(logs) / len(logs),
                    "undefined": undefined,
                }
            )
    return INHERITED.check(pl.DataFrame(rows, infer_schema_length=None), "inherited style")


def as_markdown(
    table: pl.DataFrame, names: Mapping[str, str], stylings: Mapping[str, Styling], note: str = ""
) -> str:
    """The comparison as a page: means per pair, then the counts, and a note on what was left out."""
    rows = []
    for row in table.iter_rows(named=True):
        mean, relative = (
            f"{v:.2f}" if v is not None else "–" for v in (row["mean"], row["mean_per_1000_words"])
        )
        own = "yes" if row["learned_from"] else "no"
        distance = f"{row['log_distance']:.2f}"
        rows.append(
            (names[row["run"]], names[row["model"]], own, mean, relative, 10 - row["undefined"], distance)
        )
    heads = "run (A) | model (B) | from B | mean of A / B | per 1,000 words | elements | log2 distance"
    counts = {model: styling.features() for model, styling in stylings.items()}
    shown = [f for f in next(iter(counts.values())) if f != "characters"]
    lines = [
        "# Style of fine-tunes and of the models they learned from",
        "",
        *markdown_table(heads, rows, "--->"),
        "",
        *markdown_table(("", *shown), ((names[m], *(c[f] for f in shown)) for m, c in counts.items())),
        *(["", text(note)] if note else []),
    ]
    return "\n".join(lines) + "\n"


def _name(study: Study, models: Mapping[str, Model], model: str) -> str:
    return models[model].name if model in models else model
