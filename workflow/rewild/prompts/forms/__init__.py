"""The forms in which people keep conversations, answers and judgments: one reader for each, for all stages.

:mod:`~rewild.prompts.forms.rows` gets rows out of a file (JSON, JSON Lines, Parquet, told by content),
:mod:`~rewild.prompts.forms.table` makes conversations of them, :mod:`~rewild.prompts.forms.judgments`
judgments. docs/formats.md lists the forms.
"""
