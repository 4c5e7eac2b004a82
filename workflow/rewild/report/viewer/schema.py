"""What the viewer reads, and what it writes.

It reads responses (:data:`rewild.generation.schema.RESPONSES`) and, if there are any,

* similarities: Parquet files with :data:`PAIR` and one column per metric, 0 to 1;
* judgments: :data:`JUDGMENTS`, a row per judged response and judge.

It writes, below ``results/{study}/viewer``:

==================================== =====================================================================
``index.html``                        the page; the same bytes for every study
``data/index.js``                     what the list shows: ids, languages, lengths, first words
``data/model/{m}.js``                 per conversation: the words of model number m, its gaps and scores
``data/prompt/{block}.js``            the user turns of :data:`BLOCK` conversations
``data/html/{m}/{block}.js``          the model's responses, rendered, with what is known about each
``data/text/{m}/{block}.js``          the same responses as the model wrote them
``data/similarity/{m}-{n}.js``        per turn, in thousandths, for m < n
==================================== =====================================================================

A data file is one call, ``rewild("html/3/12", …)``, because a page opened from ``file://`` may load scripts
but may not fetch files.
"""

from __future__ import annotations

import polars as pl

from rewild.core.table import Column, TableSchema

BLOCK = 50  # conversations per data file: about 300 kB of responses of one model

PAIR = ("conversation_id", "turn", "model", "reference")
"""The key of a similarity: the response of ``model`` scored against that of ``reference``."""

JUDGMENTS = TableSchema(
    "response judgments",
    1,
    {
        "conversation_id": Column(pl.String, "The conversation, as in the responses"),
        "turn": Column(pl.Int16, "The user turn, counted from 0"),
        "model": Column(pl.String, "The slug of the model that is judged"),
        "judge": Column(pl.String, "Who judged: a model's slug, or a benchmark's name"),
        "score": Column(pl.Float64, "The score the judge gave; null when it gave none", True),
        "best": Column(pl.Float64, "The best possible score; null when there is no limit", True),
        "judgment": Column(
            pl.String, "The judge's text (Markdown, untrusted); null when it wrote none", True
        ),
    },
    key=("conversation_id", "turn", "model", "judge"),
)
