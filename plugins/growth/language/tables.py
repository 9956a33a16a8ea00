"""The tables. Each has a folder in include/sql, whose table.yaml describes it.

A folder holds `query.sql` (the rows), `scope.sql` (the partitions that a run computes again), `checks/` (queries for
rows that must not exist) and `table.yaml`. Everything else about a table is derived from these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
import yaml
from pydantic import Field, StringConstraints, model_validator

from growth.language.definitions import Definitions, Strict
from growth.language.raw import RAW_COLUMNS

SQL_FOLDER = Path(__file__).parents[3] / "include" / "sql"
LAYERS = ("identity", "staging", "intermediate", "marts")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Names = tuple[Name, ...]


Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Unit = Literal[
    "id",
    "name",
    "text",
    "date",
    "month",
    "moment (UTC)",
    "milliseconds",
    "day number",
    "flag (0 or 1)",
    "people",
    "users",
    "user-days",
    "days",
    "months",
    "events",
    "features",
    "share (0 to 1)",
    "points (0 to 100)",
    "money per month",
    "currency",
    "row number",
]
"""Milliseconds and day numbers count from 1970-01-01 UTC."""


class Column(Strict):
    """A column: its type, unit and meaning."""

    type: Literal["text", "integer", "real"]
    unit: Unit
    sentence: Sentence
    formula: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
    """How a metric is computed, in words; empty for columns that are not metrics."""
    word: str = ""
    """The word of the dictionary that the column uses."""


class Ledger(Strict):
    """When the cells of a mart are final: a publish records its later changes to them as restatements."""

    month: Name
    """The column with the month of a cell, which is final `final_after_days` days after the end of that month."""
    final_after_days: int
    column_final_after_days: dict[Name, int] = Field(default_factory=dict)
    """Columns that are final after another number of days."""
    caused_by: Name
    """The table whose changes, by user and by the columns in `cell`, cause changes of this mart."""
    cell: Names
    calendar_columns: Names = ()
    """Columns that depend only on the calendar: their changes are not recorded."""


class Table(Strict):
    """A table of the warehouse, as its table.yaml describes it."""

    name: Name
    layer: Literal["raw", "identity", "staging", "intermediate", "marts"]
    sentence: Sentence
    grain: Names
    """The columns that identify a row."""
    partition: Names = ()
    """The columns that identify what a run computes again."""
    changes: Names = ()
    """The columns that tell downstream tables which rows were added, removed or changed."""
    cluster: Names = ()
    indexes: tuple[Names, ...] = ()
    words: tuple[str, ...] = ()
    """The sections of the dictionary, or keys of them, that the query may read: its template sees no others."""
    columns: dict[Name, Column]
    ledger: Ledger | None = None
    examples: tuple[str, ...] = ()
    """Cases of tests/cases that docs/metrics.md shows. The first case that expects a column is its example."""

    @model_validator(mode="after")
    def _names_its_columns(self) -> Table:
        named = {*self.grain, *self.partition, *self.changes, *self.cluster, *(c for i in self.indexes for c in i)}
        if self.ledger:
            named |= {self.ledger.month, *self.ledger.column_final_after_days, *self.ledger.calendar_columns}
        if unknown := named - set(self.columns):
            raise ValueError(f"{', '.join(sorted(unknown))} is not a column of the table")
        return self

    @property
    def key(self) -> Names:
        """The primary key: the columns of the grain, in the order in which rows are stored."""
        return self.cluster or self.grain

    @property
    def all_indexes(self) -> tuple[Names, ...]:
        """The indexes besides the primary key. They include the grain if the key differs from it."""
        return (*self.indexes, *([self.grain] if self.key != self.grain else []))

    @property
    def types(self) -> dict[str, str]:
        return self.types_of(self.columns)

    def types_of(self, columns: Iterable[str]) -> dict[str, str]:
        return {name: self.columns[name].type for name in columns}


@cache
def table_folders() -> dict[str, Path]:
    """The folder of each table, in the order of computation: each table follows the tables that it reads."""
    folders = {p.parent.name: p.parent for layer in LAYERS for p in sorted((SQL_FOLDER / layer).glob("*/query.sql"))}
    layers = {name: LAYERS.index(folder.parent.name) for name, folder in folders.items()}
    graph = {name: sorted(_reads(folder, folders)) for name, folder in folders.items()}
    for name, sources in graph.items():
        if below := [source for source in sources if layers[source] > layers[name]]:
            raise ValueError(f"{name} reads {', '.join(below)} of a later layer")
    return {name: folders[name] for name in sorted(TopologicalSorter(graph).static_order(), key=layers.__getitem__)}


def _reads(folder: Path, names: Iterable[str]) -> set[str]:
    words: set[str] = set()
    for path in folder.glob("*.sql"):
        text = re.sub(r"\{#.*?#\}|--[^\n]*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        words |= {word.rpartition("__")[2] for word in re.findall(r"\w+", text)}
    return words.intersection(names) - {folder.name}


@cache
def reads(table: str) -> frozenset[str]:
    """The other tables that the query and the scope of a table read."""
    folders = table_folders()
    return frozenset(_reads(folders[table], folders))


def tables_of(layer: str) -> list[str]:
    """The names of a layer's tables, in the order of computation."""
    return [name for name, folder in table_folders().items() if folder.parent.name == layer]


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def load_table(folder: Path, definitions: Definitions) -> Table:
    """The table that a folder describes, for a dictionary. Raises ValueError if the description is wrong."""
    path = folder / "table.yaml"
    text = _environment().from_string(path.read_text(encoding="utf-8")).render(definitions=definitions)
    try:
        content: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return Table(name=folder.name, layer=folder.parent.name, **content)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None


def load_tables(definitions: Definitions) -> dict[str, Table]:
    """All computed tables, for a dictionary, in the order of computation."""
    return {name: load_table(folder, definitions) for name, folder in table_folders().items()}


def load_raw_tables(definitions: Definitions) -> dict[str, Table]:
    """The raw tables."""
    return {name: load_table(SQL_FOLDER / "raw" / name, definitions) for name in RAW_COLUMNS}


def doc(table: str) -> str:
    """The text about a table in the Airflow UI, without the dictionary: every parse of the DAG needs it."""
    head = (table_folders()[table] / "table.yaml").read_text(encoding="utf-8").partition("\ncolumns:")[0]
    content = yaml.load(head, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    lines = [f"* {key}: {', '.join(content[key])}" for key in ("grain", "words") if content.get(key)]
    return "\n".join([content["sentence"], "", *lines])
