"""Tables of a study's own runs, laid out as a paper's: what differs from its ``tables.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rewild.config.benchmarks import Benchmark
from rewild.core.errors import ConfigError
from rewild.report.tables.spec import ColumnSpec, TableSpec


@dataclass(frozen=True)
class OwnTables:
    """How a paper's tables are laid out where the runs are a study's own.

    Attributes:
        titles: table → its title, where it is another one.
        columns: columns that the paper's tables lack, or that mean something else: name → as in
            ``tables.yaml``. A name that ends in a space stands for all that begin so; in its meaning, ``{}``
            stands for the rest.
        last: what the names of columns begin with that stand after all others.
    """

    titles: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    last: tuple[str, ...] = ()


def own_spec(
    name: str,
    spec: TableSpec,
    columns: Mapping[str, ColumnSpec],
    computed: Iterable[str],
    *,
    own: OwnTables,
    benchmarks: Mapping[str, Benchmark],
) -> tuple[TableSpec, dict[str, ColumnSpec]]:
    """The table as the study has it: its own title, and columns that the paper's table lacks.

    Args:
        name: the table's.
        spec: the paper's.
        columns: all that are described in ``tables.yaml`` for it.
        computed: the columns of the computed cells, in order.
        own: what the paper's room says of such tables.
        benchmarks: the registry, whose titles are columns.

    Raises:
        ConfigError: a column that nothing describes.
    """
    described = {
        **columns,
        **{c: ColumnSpec.model_validate(of) for c, of in own.columns.items() if c[-1] != " "},
    }
    titles = {b.title: b for b in benchmarks.values()}
    extra = [c for c in dict.fromkeys(computed) if c not in columns]
    for column in extra:
        if column in titles:
            described[column] = _of_benchmark(titles[column])
        elif found := next((c for c in own.columns if c[-1] == " " and column.startswith(c)), None):
            of = own.columns[found]
            meaning = of["meaning"].format(column.removeprefix(found))
            described[column] = ColumnSpec.model_validate({**of, "meaning": meaning})
        elif column not in described:
            raise ConfigError(f"{name}: nothing describes the column '{column}'")
    printed = [*spec.columns, *spec.computed_columns]
    last = [c for c in printed if c.startswith(own.last)] if own.last else []
    late = [c for c in extra if own.last and c not in last and c in own.columns and c.startswith(own.last)]
    ordered = (
        [c for c in printed if c not in last] + [c for c in extra if c not in (*last, *late)] + last + late
    )
    title = own.titles.get(name, spec.title)
    described_own = spec.model_copy(update={"title": title, "columns": ordered, "computed_columns": []})
    return described_own, {c: described[c] for c in ordered}


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
