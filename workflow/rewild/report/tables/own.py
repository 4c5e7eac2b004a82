"""Tables of a study's own runs, laid out as the paper's: what differs from ``tables.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rewild.config.benchmarks import Benchmark
from rewild.core.errors import ConfigError
from rewild.report.tables.spec import ColumnSpec, TableSpec

TITLES: Mapping[str, str] = {
    "table2": "One base model fine-tuned on as many conversations of each data-generating model",
    "table3": "Markdown styling in the answers of two data-generating models and their fine-tunes",
    "table4": "How often a judge prefers one model's answers over another's",
    "table6": "Base models fine-tuned on responses of related and unrelated models",
    "table7": "A base model fine-tuned on responses of one model, or of several mixed",
}
"""Table → its title where the runs are the study's own."""
AVERAGE = "Avg (study)"
STATED = "Avg (stated)"
"""Averages that are no column of the paper's: over a study's own benchmarks; over the nine that it states."""
PREFERENCE = "PrefRt "
"""What the column of a preference rate starts with; the rest is the label of the run preferred over."""
_FIXED = {
    AVERAGE: {
        "meaning": "Average over all benchmarks of the study, each on a scale of 0–1",
        "unit": "0–1",
        "best": "high",
        "digits": 4,
        "high": 1,
    },
    "len": {
        "meaning": "Mean characters of an answer as HTML",
        "unit": "characters or ratio",
        "digits": 3,
    },
    "FlipCt": {
        "meaning": "Turns on which the fine-tune is scored below the other one, and its own model above it",
        "unit": "turns",
        "digits": 0,
    },
}


def own_spec(
    name: str,
    spec: TableSpec,
    columns: Mapping[str, ColumnSpec],
    computed: Iterable[str],
    benchmarks: Mapping[str, Benchmark],
) -> tuple[TableSpec, dict[str, ColumnSpec]]:
    """The table as the study has it: its own title, and columns that the paper's table lacks.

    Args:
        name: ``table2`` and so on.
        spec: the paper's.
        columns: all that are described in ``tables.yaml`` for it.
        computed: the columns of the computed cells, in order.
        benchmarks: the registry, whose titles are columns.

    Raises:
        ConfigError: a column that nothing describes.
    """
    described = {**columns, **{name: ColumnSpec.model_validate(of) for name, of in _FIXED.items()}}
    titles = {b.title: b for b in benchmarks.values()}
    extra = [c for c in dict.fromkeys(computed) if c not in columns]
    for column in extra:
        if column in titles:
            described[column] = _of_benchmark(titles[column])
        elif column.startswith(PREFERENCE):
            described[column] = ColumnSpec.model_validate(
                {
                    "meaning": f"How often it is preferred over {column.removeprefix(PREFERENCE)}",
                    "unit": "%",
                    "best": "high",
                    "digits": 2,
                    "high": 100,
                }
            )
        elif column not in described:
            raise ConfigError(f"{name}: nothing describes the column '{column}'")
    last = [c for c in (*spec.columns, *spec.computed_columns) if c.startswith("Avg") or c == "FlipCt"]
    first = [c for c in (*spec.columns, *spec.computed_columns) if c not in last]
    ordered = [*first, *(c for c in extra if c not in last), *last]
    if AVERAGE in extra:
        ordered = [*(c for c in ordered if c != AVERAGE), AVERAGE]
    own = spec.model_copy(
        update={"title": TITLES.get(name, spec.title), "columns": ordered, "computed_columns": []}
    )
    return own, {c: described[c] for c in ordered}


def _of_benchmark(benchmark: Benchmark) -> ColumnSpec:
    top = benchmark.scale.max
    return ColumnSpec.model_validate(
        {
            "meaning": f"{benchmark.title}, {benchmark.metric}",
            "unit": "%" if top == 100 else f"0–{top}",
            "best": "high" if benchmark.higher_is_better else "low",
            "digits": 4 if top == 1 else 2,
            "high": top,
        }
    )
