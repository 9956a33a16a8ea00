"""The warehouse as a database: connecting, running scripts, making tables, landing batches."""

from __future__ import annotations

import sqlite3
import time
from calendar import monthrange
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from growth.days import Days
from growth.errors import UserError
from growth.sources import ARRIVAL_COLUMNS, RAW_COLUMNS, Source
from growth.sql import Sql

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = date(1970, 1, 1)
_CALENDAR_YEARS = range(1990, 2101)


class Landed(NamedTuple):
    """What a landing did."""

    rows: dict[str, int]
    sql_seconds: float


class Refused(UserError):
    """A script found that it may not go on; what it had done so far in its transaction is undone."""


def heed(cursor: Any) -> None:
    """Handler for each statement of a script: a statement with a column `refusal` that gives a row stops it."""
    if cursor.description and cursor.description[0][0] == "refusal" and (row := cursor.fetchone()):
        raise Refused(row[0])


@lru_cache(maxsize=256)
def split(script: str) -> list[str]:
    """The statements of a script, as Airflow's hooks split them."""
    import sqlparse

    return [s for s in sqlparse.split(sqlparse.format(script, strip_comments=True), strip_semicolon=True) if s]


def run_script(connection: Any, script: str, parameters: Mapping[str, object]) -> float:
    """Run a script as SQLExecuteQueryOperator does, and give the seconds it took. An error undoes its transaction."""
    statements = split(script)
    started = time.perf_counter()
    with closing(connection.cursor()) as cursor:
        try:
            for statement in statements:
                cursor.execute(statement, parameters)
                heed(cursor)
        except BaseException:
            connection.rollback()
            raise
    return time.perf_counter() - started


@contextmanager
def plain_errors(where: str) -> Iterator[None]:
    """What the database says of a file that it cannot use, as one sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        other_shape = (
            f"and the SQL do not fit ({said}): mend the model that was edited, or restore a copy of the warehouse"
        )
        for symptom, sentence in {
            "file is not a database": "is not a SQLite database: name another file or move this one away",
            "disk image is malformed": "is a damaged SQLite database: restore a copy of it",
            "malformed database schema": "is a damaged SQLite database: restore a copy of it",
            "readonly": "is read-only: make the file and its folder writable",
            "unable to open": "cannot be opened: make its folder, and make it writable",
            "locked": "stayed locked by another process for a minute: end that process, then run again",
            "disk is full": "has no room left on its disk: make room, then run again",
            "disk I/O": "cannot be written, the disk gave an error: check the disk, then run again",
            "no such ": other_shape,
            "has no column": other_shape,
        }.items():
            if symptom in said:
                raise UserError(f"The warehouse {where} {sentence}.") from None
        raise


def prepare(connection: Any, sql: Sql) -> None:
    """Make what is missing of the warehouse, and bring tables of an earlier version into shape.

    One transaction. Nothing that people read loses a row: a column that a mart gains is empty until the next publish.
    """
    connection.execute("pragma busy_timeout = 60000")
    connection.execute("pragma journal_mode = wal")
    known = connection.execute("select name from sqlite_master where name = 'run_state'").fetchone()
    if known:
        (prepared,) = connection.execute("select prepared_hash from run_state").fetchone() or (None,)
        if prepared == sql.definitions_hash:
            return
    connection.execute("begin immediate")
    try:
        for model in sql.models if known else []:
            _reshape(connection, model)
        for statement in split(sql.create()) + split(sql.views()):
            connection.execute(statement)
        connection.executemany("insert or ignore into calendar_months values (?, ?, ?, ?)", _months())
        # What tables of another shape or meaning held has to be computed again, whichever run comes next.
        connection.execute(
            "update run_state set prepared_hash = ?, everything = ?", (sql.definitions_hash, 1 if known else 0)
        )
        connection.execute("commit")
    except BaseException:
        connection.rollback()
        raise


def _columns(connection: Any, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


def _reshape(connection: Any, model: Any) -> None:
    """Columns are the only thing that changes: what is built anew goes, what people read gains columns."""
    present = _columns(connection, model.name)
    if not present or present == list(model.columns):
        return
    if model.layer == "marts":
        connection.execute(f"drop table if exists building__{model.name}")
        connection.execute(f"drop view if exists next__{model.name}")
        for column, kind in model.types.items():
            if column not in present:
                connection.execute(f"alter table {model.name} add column {column} {kind}")
        for column in set(present) - set(model.columns):
            connection.execute(f"alter table {model.name} drop column {column}")
    else:
        connection.execute(f"drop table {model.name}")


def _months() -> Iterator[tuple[str, int, int, int]]:
    for year in _CALENDAR_YEARS:
        for month in range(1, 13):
            first = (date(year, month, 1) - _EPOCH).days
            yield f"{year}-{month:02}-01", year * 12 + month, first, first + monthrange(year, month)[1] - 1


def month_slices(days: Days) -> Iterator[Days]:
    """The days of a run, month by month."""
    first = days.first
    while first <= days.last:
        last = min(days.last, first.replace(day=monthrange(first.year, first.month)[1]))
        yield Days(first, last)
        first = last + timedelta(days=1)


def land(
    connection: Any, sql: Sql, source: Source, days: Days, run: Mapping[str, object], rebuild: bool = False
) -> Landed:
    """Put the batches of some days into the raw tables, replacing what they held.

    Each month is a transaction of its own that also puts its batches in scope: a run that is killed in between leaves
    whole batches, and landing them again replaces them.
    """
    landed = dict.fromkeys(RAW_COLUMNS, 0)
    seconds = 0.0
    refuse_other_source(connection, source)
    for part in month_slices(days):
        frames = source.read(part.first, part.last)
        started = time.perf_counter()
        connection.execute("begin immediate")
        try:
            for statement in split(sql.hold()):
                cursor = connection.execute(statement, run)
                heed(cursor)
            for table, columns in RAW_COLUMNS.items():
                _replace_batches(connection, table, columns, frames[table], part, source.name)
                landed[table] += len(frames[table])
            connection.execute(
                "insert or ignore into scope_batches (batch_date)"
                " select distinct batch_date from raw_batches where batch_date between ? and ?",
                (part.first.isoformat(), part.last.isoformat()),
            )
            _move_on(connection, sql.definitions_hash, rebuild)
            connection.execute("commit")
        except BaseException:
            connection.rollback()
            raise
        seconds += time.perf_counter() - started
    return Landed(landed, seconds)


def refuse_other_source(connection: Any, source: Source) -> None:
    """A warehouse holds the batches of one source: two would mix their people."""
    (other,) = connection.execute(
        "select max(source_name) from raw_batches where source_name <> ?", (source.name,)
    ).fetchone()
    if other:
        raise UserError(
            f"The warehouse holds batches of source {other}, this run would land {source.name}:"
            " name another file with WAREHOUSE=, or go back to that source."
        )


def _replace_batches(
    connection: Any, table: str, columns: tuple[str, ...], frame: pd.DataFrame, days: Days, source_name: str
) -> None:
    between = (days.first.isoformat(), days.last.isoformat())
    names = (*ARRIVAL_COLUMNS, *columns)
    connection.execute(f"delete from {table} where batch_date between ? and ?", between)
    values = frame.loc[:, list(names)].astype(object)
    rows = zip(*(values[name].where(values[name].notna(), None) for name in names), strict=True)
    connection.executemany(f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})", rows)
    counts = frame["batch_date"].value_counts()
    connection.execute("delete from raw_batches where table_name = ? and batch_date between ? and ?", (table, *between))
    dates = [(days.first + timedelta(days=n)).isoformat() for n in range((days.last - days.first).days + 1)]
    connection.executemany(
        "insert into raw_batches (batch_date, table_name, source_name, rows_landed) values (?, ?, ?, ?)",
        [(d, table, source_name, int(counts.get(d, 0))) for d in dates],
    )


def _move_on(connection: Any, definitions_hash: str, rebuild: bool) -> None:
    """The as-of day is the latest day landed; other definitions than those of the last landing put all in scope."""
    connection.execute(
        "update run_state set everything = case when ? or definitions_hash <> ? then 1 else everything end,"
        " definitions_hash = ?",
        (rebuild, definitions_hash, definitions_hash),
    )
    connection.execute(
        "insert or ignore into scope_batches (batch_date)"
        " select distinct batch_date from raw_batches where (select everything from run_state) = 1"
    )
    (as_of,) = connection.execute("select max(batch_date) from raw_batches").fetchone()
    day = date.fromisoformat(as_of)
    connection.execute(
        "update run_state set as_of_date = ?, as_of_day = ?, as_of_month = ?",
        (as_of, (day - _EPOCH).days, day.replace(day=1).isoformat()),
    )
