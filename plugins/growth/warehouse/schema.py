"""The tables of a warehouse: made where they are missing, and brought into shape where they are of another version."""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import date

from growth.engines import Connection
from growth.language.raw import RAW_COLUMNS
from growth.language.sql import Sql
from growth.language.tables import Table
from growth.warehouse.scripts import exclusive_transaction
from growth.warehouse.state import NEW_DEFINITION, mark_whole

EPOCH = date(1970, 1, 1)
_CALENDAR = ("month", "month_number", "first_day", "last_day")
_CALENDAR_YEARS = range(1990, 2101)

# Columns, tables and views of versions up to 1.1, which kept one fingerprint for all tables.
_OLD_STATE = ("everything", "definitions_hash", "prepared_hash", "published_hash")
_OLD_TABLES = ("lease", "built", "erased", "scope_batches", "replaced_users", "replaced_subscriptions")
_OLD_VIEWS = ("typed_users", "typed_events", "typed_subscriptions", "typed_links")


def prepare(connection: Connection, sql: Sql) -> None:
    """Make what is missing of the warehouse, and bring tables of an earlier version into shape.

    One transaction. What people read loses no row and no column: a column that a mart gains is empty until the next
    publish, one that it no longer has goes after it.
    """
    engine = sql.engine
    engine.prepare_schema(connection)
    fingerprint = hashlib.sha256("\n".join(sql.create()).encode()).hexdigest()[:16]
    present = engine.tables(connection)
    if "prepared_fingerprint" in engine.columns(connection, "run_state"):
        (prepared,) = connection.execute("select prepared_fingerprint from run_state").fetchone() or (None,)
        if prepared == fingerprint:
            return
    with exclusive_transaction(connection, sql):
        for statement in sql.drop_views():
            connection.execute(statement)
        remade = []
        if "run_state" in present:
            _gain_columns(connection, sql, "run_state", {"prepared_fingerprint": "text"})
            for table, columns in RAW_COLUMNS.items():
                _gain_columns(connection, sql, table, dict.fromkeys(columns, "text"))
            remade = [table.name for table in sql.tables.values() if _reshape(connection, sql, table, present)]
        for statement in sql.create():
            connection.execute(statement)
        if "lease" in present:
            _carry_over(connection, sql, present)
        if not connection.execute("select 1 from calendar_months limit 1").fetchone():
            engine.load(connection, "calendar_months", _CALENDAR, list(zip(*_months(), strict=True)))
        known = {name for (name,) in connection.execute("select table_name from work_table_state").fetchall()}
        new = [name for name in sql.tables if name not in known]
        connection.executemany("insert into work_table_state (table_name) values (?)", [(name,) for name in new])
        # What a table of another shape held has to be computed again, whichever run comes next.
        mark_whole(connection, {*new, *remade}, NEW_DEFINITION)
        connection.execute("update run_state set prepared_fingerprint = ?", (fingerprint,))


def drop_obsolete_columns(connection: Connection, sql: Sql) -> None:
    """Take away what marts no longer have, once what people read has been published without it."""
    published = dict(connection.execute("select table_name, published_fingerprint from work_table_state").fetchall())
    obsolete = [
        (table.name, column)
        for table in sql.marts
        if published.get(table.name) == sql.fingerprint(table.name)
        for column in sql.engine.columns(connection, table.name)
        if column not in table.columns
    ]
    if obsolete:
        with exclusive_transaction(connection, sql):
            for table, column in obsolete:
                connection.execute(f"alter table {table} drop column {column}")


def _gain_columns(connection: Connection, sql: Sql, table: str, types: Mapping[str, str]) -> None:
    """Columns that a table lacks, if there is the table."""
    present = sql.engine.columns(connection, table)
    for column, kind in types.items() if present else []:
        if column not in present:
            connection.execute(f"alter table {table} add column {column} {sql.type_of(kind)}")


def _reshape(connection: Connection, sql: Sql, table: Table, present: set[str]) -> bool:
    """Marts gain columns; all else of another shape is dropped. Gives whether the table has to be computed anew."""
    engine = sql.engine
    work = {"work_scope__": table.types_of(table.partition), "work_changed__": table.types_of(table.changes)}
    if table.layer == "marts":
        work["work_building__"] = table.types
    is_other = False
    for prefix, types in work.items():
        if engine.columns(connection, prefix + table.name) not in ([], list(types)):
            connection.execute(f"drop table {prefix}{table.name}")
            is_other = True
    if table.name not in present:
        return True
    columns = engine.columns(connection, table.name)
    if table.layer == "marts":
        _gain_columns(connection, sql, table.name, table.types)
        return is_other or set(columns) != set(table.columns)
    if columns != list(table.columns) or (engine.key(connection, table.name) or list(table.key)) != list(table.key):
        connection.execute(f"drop table {table.name}")
        return True
    named = {f" {word} " for statement in sql.create() for word in statement.split()}
    for index in engine.indexes(connection, table.name):
        # Each row would go on paying for it.
        if f" {index} " not in named:
            connection.execute(f"drop index {index}")
    return is_other


def _carry_over(connection: Connection, sql: Sql, present: set[str]) -> None:
    """Bring along what versions up to 1.1 kept in tables of other names, and drop these."""
    for name in ("erased", "lease", "scope_batches"):
        if columns := sql.engine.columns(connection, name):
            names = ", ".join(f'"{column}"' for column in columns)
            connection.execute(f"insert into work_{name} ({names}) select {names} from {name}")
    for view in (*_OLD_VIEWS, *(f"next__{table.name}" for table in sql.marts)):
        connection.execute(f"drop view if exists {view}")
    old = [name for name in present if name.startswith(("scope__", "changed__", "building__")) or name in _OLD_TABLES]
    for name in sorted(old):
        connection.execute(f"drop table {name}")
    for column in sql.engine.columns(connection, "run_state"):
        if column in _OLD_STATE:
            connection.execute(f"alter table run_state drop column {column}")


def _months() -> Iterator[tuple[str, int, int, int]]:
    for year in _CALENDAR_YEARS:
        for month in range(1, 13):
            first = (date(year, month, 1) - EPOCH).days
            yield f"{year}-{month:02}-01", year * 12 + month, first, first + monthrange(year, month)[1] - 1
