"""What each table of a paper holds: its columns, their units, which end is best, how many decimals to show.

Light to import (pydantic and YAML only), since the workflow reads titles from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rewild.config.base import Strict, validate
from rewild.core.errors import known_name, twice
from rewild.core.reading_yaml import read_yaml


class ColumnSpec(Strict):
    """One column of a table."""

    meaning: str = Field(description="What the number is")
    unit: str = Field(description="Unit or scale")
    best: Literal["high", "low"] | None = Field(
        None, description="Which end is best (shown in bold); null where no value is better than another"
    )
    digits: int = Field(0, ge=0, le=6, description="Decimals of a computed value when shown (files keep all)")
    text: bool = Field(False, description="Whether it holds text, shown as it is printed, not numbers")
    low: float = Field(0, description="The least possible value")
    high: float | None = Field(None, description="The greatest possible value")


class TableSpec(Strict):
    """One table of a paper."""

    title: str = Field(description="What the table shows, in our words")
    row: str = Field(description="What its rows are")
    place: str = Field(description="Where it stands in the paper")
    columns: list[str] = Field(min_length=1, description="Names of columns, in the order printed")
    computed_columns: list[str] = Field(
        default_factory=list, description="Columns that a computed table has beyond the printed ones"
    )
    computed_note: str = Field("", description="What a reader of the computed table must know")


class Specs(Strict):
    """A paper's ``tables.yaml``."""

    columns: dict[str, ColumnSpec]
    tables: dict[str, TableSpec]

    @model_validator(mode="after")
    def _columns_exist(self) -> Specs:
        for name, table in self.tables.items():
            named = table.columns + table.computed_columns
            for column in named:
                known_name(column, self.columns, f"{name} names the unknown column", error=ValueError)
            if twice(named):
                raise ValueError(f"{name} names a column twice")
        return self

    def of(self, table: str) -> tuple[TableSpec, dict[str, ColumnSpec]]:
        """The spec of a table and of its columns, in order.

        Raises:
            ConfigError: there is no such table.
        """
        spec = self.tables[known_name(table, self.tables, "unknown table")]
        return spec, {name: self.columns[name] for name in spec.columns + spec.computed_columns}


def read_specs(path: Path) -> Specs:
    """Read and validate ``tables.yaml``; problems are one :class:`ConfigError` that names the file."""
    return validate(Specs, read_yaml(path), str(path))
