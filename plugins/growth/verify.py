"""Does what people read equal a full rebuild from the raw tables? Builds one aside and compares cell by cell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from growth.errors import UserError
from growth.models import LAYERS
from growth.sources import RAW_COLUMNS
from growth.sql import Sql
from growth.warehouse import plain_errors, prepare, run_script

SHOWN = 10


class Difference(NamedTuple):
    """A cell that is not what a rebuild gives; for a row that only one side has, column is None."""

    table: str
    key: tuple[Any, ...]
    column: str | None
    published: Any
    rebuilt: Any

    def __str__(self) -> str:
        row = f"{self.table} {', '.join(map(str, self.key))}"
        if self.column is None:
            return f"{row}: {'a rebuild has no such row' if self.published else 'only a rebuild has this row'}"
        return f"{row}: {self.column} is {self.published!r}, a rebuild gives {self.rebuilt!r}"


def rebuild(warehouse: Path, target: sqlite3.Connection, sql: Sql) -> None:
    """Build all tables in `target`, an empty database, from the raw tables of `warehouse`, which is only read.

    One read transaction on the warehouse: what a run publishes meanwhile is not seen. Raises UserError where the
    warehouse holds batches that have not been published.
    """
    prepare(target, sql)
    target.execute("attach ? as warehouse", (f"{warehouse.absolute().as_uri()}?mode=ro",))
    target.execute("begin")
    waiting = target.execute(
        "select count(*), min(batch_date), max(batch_date) from warehouse.scope_batches"
    ).fetchone()
    (hash_of_published,) = target.execute("select published_hash from warehouse.run_state").fetchone()
    if waiting[0] or hash_of_published is None:
        raise UserError(
            f"The warehouse {warehouse} holds batches that no run has published ({waiting[1]} to {waiting[2]}):"
            " let the run end, or run again, and verify then."
        )
    if hash_of_published != sql.definitions_hash:
        raise UserError("The definitions have changed since the last run: run again, and verify then.")
    for table in (*RAW_COLUMNS, "raw_batches"):
        target.execute(f"insert into {table} select * from warehouse.{table}")
    target.execute("insert into scope_batches select distinct batch_date from raw_batches")
    target.execute(
        "update run_state set (as_of_date, as_of_day, as_of_month, definitions_hash) ="
        " (select as_of_date, as_of_day, as_of_month, definitions_hash from warehouse.run_state)"
    )
    target.execute("commit")
    target.execute("detach warehouse")
    parameters = {"dag_id": "verify", "run_id": "verify", "first_day": "", "last_day": ""}
    for model in sql.models:
        run_script(target, sql.build(model.name), parameters)
    run_script(target, sql.publish(), parameters)


def differences(
    published: sqlite3.Connection, rebuilt: sqlite3.Connection, sql: Sql, layers: tuple[str, ...] = ("marts",)
) -> list[Difference]:
    """Every cell of the layers' tables in which the two databases differ."""
    found = []
    for model in (m for m in sql.models if m.layer in layers):
        query = f"select {', '.join(model.columns)} from {model.name}"
        places = [model.columns.index(c) for c in model.grain]

        def rows(
            connection: sqlite3.Connection, query: str = query, places: list[int] = places
        ) -> dict[tuple[Any, ...], tuple[Any, ...]]:
            return {tuple(row[p] for p in places): row for row in connection.execute(query)}

        ours, theirs = rows(published), rows(rebuilt)
        for key in sorted(ours.keys() ^ theirs.keys(), key=str):
            found.append(Difference(model.name, key, None, ours.get(key), theirs.get(key)))
        for key in sorted((k for k in ours.keys() & theirs.keys() if ours[k] != theirs[k]), key=str):
            for column, a, b in zip(model.columns, ours[key], theirs[key], strict=True):
                if a != b:
                    found.append(Difference(model.name, key, column, a, b))
    return found


class Verdict(NamedTuple):
    """What a comparison found, and how much it compared."""

    as_of: str
    tables: int
    rows: int
    differences: list[Difference]


def verify(warehouse: Path, sql: Sql) -> Verdict:
    """Compare every table of the warehouse with a rebuild made aside, in a folder beside it that is removed again."""
    if not warehouse.is_file():
        raise UserError(f"There is no warehouse {warehouse}: make run builds it.")
    with (
        plain_errors(str(warehouse)),
        TemporaryDirectory(dir=warehouse.parent, prefix=".verify-") as folder,
        closing(sqlite3.connect(f"{(Path(folder) / 'rebuilt.db').absolute().as_uri()}", uri=True)) as target,
        closing(sqlite3.connect(warehouse.absolute().as_uri() + "?mode=ro", uri=True)) as published,
    ):
        published.execute("begin")
        if not published.execute("select 1 from sqlite_master where name = 'run_state'").fetchone():
            raise UserError(f"The file {warehouse} is no warehouse yet: make run builds it.")
        (as_of,) = published.execute("select published_date from run_state").fetchone()
        rebuild(warehouse, target, sql)
        rows = sum(published.execute(f"select count(*) from {m.name}").fetchone()[0] for m in sql.models)
        return Verdict(as_of, len(sql.models), rows, differences(published, target, sql, LAYERS))


def report(verdict: Verdict) -> int:
    """Say what was found; gives 0 where all is identical, else 1."""
    if not verdict.differences:
        compared = f"{verdict.tables} tables, {verdict.rows:,} rows as of {verdict.as_of}"
        print(f"identical: {compared}, rebuilt from the raw rows")
        return 0
    for difference in verdict.differences[:SHOWN]:
        print(difference)
    if len(verdict.differences) > SHOWN:
        print(f"... and {len(verdict.differences) - SHOWN} more")
    print(f"NOT identical: {len(verdict.differences)} differences; make run REBUILD=1 puts everything in scope")
    return 1
