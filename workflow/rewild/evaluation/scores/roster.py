"""``results/{study}/scores/runs.csv``: what each run of a study is (:mod:`rewild.config.roster`), as a file.

The tables, figures and findings read it, so that they work on any scores.
"""

from __future__ import annotations

from dataclasses import fields

import polars as pl

from rewild.config.roster import Entry, Roster, most_frequent
from rewild.core.table import Column, TableSchema

ROSTER = TableSchema(
    name="runs of a study",
    version=1,
    columns={
        "run": Column(pl.String, "Its key in the study's 'runs'"),
        "label": Column(pl.String, "Its name in tables, as the paper writes it: L8B : Q72 (500k)"),
        "kind": Column(
            pl.String,
            "none: a model as it is; dgm: fine-tuned on one model's responses; blend: on several models'; "
            "mixture: also on other data; other: neither (preference pairs, a fine-tune tuned again)",
        ),
        "model": Column(pl.String, "The model it starts from, a slug"),
        "base": Column(pl.String, "The same as tables name it"),
        "dgms": Column(pl.String, "The models whose responses it learned from, slugs joined by +", True),
        "dgm": Column(pl.String, "The same as tables name them, joined by ' + '", True),
        "size": Column(pl.Int64, "Conversations it was fine-tuned on; null where a mix takes all", True),
        "recipe": Column(pl.String, "How it was fine-tuned: a row of recipes.yaml", True),
        "truncated": Column(pl.Boolean, "Whether responses were cut to another model's length"),
        "related": Column(
            pl.Boolean, "Whether all models it learned from are of the base model's family", True
        ),
        "billions": Column(
            pl.Float64, "Parameters of the one model it learned from, or that it is; billions", True
        ),
        "roots": Column(
            pl.String, "The pretrained model that the run's model goes back to, a slug; null if unknown", True
        ),
        "baseline": Column(pl.Boolean, "Whether its model has the role baseline"),
    },
    key=("run",),
)
"""``results/{study}/scores/runs.csv``, in the order of the study's ``runs``."""


def roster_frame(roster: Roster) -> pl.DataFrame:
    """``ROSTER``."""
    rows = [
        {f.name: getattr(entry, f.name) for f in fields(Entry)} | {"dgms": "+".join(entry.dgms) or None}
        for entry in roster.entries
    ]
    return pl.DataFrame(rows, schema=ROSTER.dtypes, orient="row", infer_schema_length=None)


def read_roster(frame: pl.DataFrame, base: str | None = None, size: int | None = None) -> Roster:
    """The roster of a ``ROSTER`` table; ``base`` and ``size`` as the study's findings name them."""
    entries = []
    for row in frame.iter_rows(named=True):
        entries.append(Entry(**row | {"dgms": tuple((row["dgms"] or "").split("+")) if row["dgms"] else ()}))
    tuned = [e for e in entries if e.kind in ("dgm", "blend")]
    base = base or most_frequent(e.model for e in tuned)
    size = size or most_frequent(e.size for e in tuned if e.size)
    return Roster(tuple(entries), base, size, most_frequent(e.recipe for e in tuned))
