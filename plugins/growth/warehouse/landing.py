"""Landing: the batches of some days from a source into the raw tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from growth.days import Days
from growth.emails import Protect, keep
from growth.engines import Connection, Engine
from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.language.sql import Sql
from growth.language.tables import tables_of
from growth.sources.contract import Source
from growth.warehouse.erased import Erased
from growth.warehouse.schema import EPOCH
from growth.warehouse.scripts import exclusive_transaction, raise_on_refusal
from growth.warehouse.state import settle

if TYPE_CHECKING:
    import pandas as pd

# Ids whose rows a landing replaces are kept for the scope: an earlier row that is gone for good leaves no other trace.
REPLACED = {
    "work_replaced_users": ("raw_users", "user_id"),
    "work_replaced_subscriptions": ("raw_subscriptions", "subscription_id"),
}
UNMAPPED_LENGTH = 200


class Landed(NamedTuple):
    """What a landing did."""

    rows: dict[str, int]
    left_out: int
    """Rows of people who were erased."""
    whole: dict[str, str]
    """The tables of which the run computes all rows, with the reason."""
    sql_seconds: float


def land(
    connection: Connection,
    sql: Sql,
    source: Source,
    days: Days,
    run: Mapping[str, object],
    rebuild: bool = False,
    protect: Protect = keep,
) -> Landed:
    """Replace the batches of some days in the raw tables; `protect` is applied to each e-mail address.

    One transaction, which also puts the batches in scope: whatever fails, the raw tables hold whole batches.
    """
    landed = dict.fromkeys(RAW_COLUMNS, 0)
    left_out = 0
    between = (days.first.isoformat(), days.last.isoformat())
    refuse_other_source(connection, source)
    _refuse_lost_archive(connection, source)
    seconds = 0.0
    # What takes long, such as asking an API, is over before the transaction makes others wait.
    pieces = iter(source.pieces(*days))
    first = next(pieces, {})
    with exclusive_transaction(connection, sql):
        for statement in sql.acquire_lease():
            raise_on_refusal(connection.execute(statement, run))
        for table, (raw, key) in REPLACED.items():
            connection.execute(
                f"insert into {table} ({key})"
                f" select {key} from {raw} where batch_date between ? and ? and {key} is not null"
                f" except select {key} from {table}",
                between,
            )
        for table in (*RAW_COLUMNS, UNMAPPED, "raw_batches"):
            connection.execute(f"delete from {table} where batch_date between ? and ?", between)
        dates = [(days.first + timedelta(days=n)).isoformat() for n in range((days.last - days.first).days + 1)]
        rows: Counter[tuple[str, str]] = Counter()
        erased = Erased(connection)
        for piece in chain([first], pieces):
            started = time.perf_counter()
            for table, arrived in piece.items():
                if table == UNMAPPED:
                    _count_unmapped(connection, arrived)
                else:
                    frame = erased.without(arrived)
                    _land_frame(connection, sql.engine, table, frame, protect)
                    landed[table] += len(frame)
                    rows.update({(day, table): n for day, n in frame["batch_date"].value_counts().items()})
                    left_out += len(arrived) - len(frame)
            seconds += time.perf_counter() - started
        started = time.perf_counter()
        batches = [(day, table, source.name, int(rows[day, table])) for day in dates for table in RAW_COLUMNS]
        sql.engine.load(
            connection,
            "raw_batches",
            ("batch_date", "table_name", "source_name", "rows_landed"),
            list(zip(*batches, strict=True)),
        )
        sql.engine.update_statistics(connection, landed)
        _put_in_scope(connection, "batch_date between ? and ?", between)
        whole = settle(connection, sql, rebuild)
        if whole.keys() & {*tables_of("identity"), *tables_of("staging")}:
            _put_in_scope(connection, "1 = 1")
        _advance_as_of_day(connection)
        seconds += time.perf_counter() - started
    return Landed(landed, left_out, whole, seconds)


def refuse_other_source(connection: Connection, source: Source) -> None:
    """A warehouse holds the batches of one source: two sources would mix their people."""
    (other,) = connection.execute(
        "select max(source_name) from raw_batches where source_name <> ?", (source.name,)
    ).fetchone()
    if other:
        raise UserError(
            f"The warehouse holds batches of source {other}, this run would land {source.name}:"
            " name another file with WAREHOUSE=, or go back to that source."
        )


def _refuse_lost_archive(connection: Connection, source: Source) -> None:
    """A source whose archive this worker does not have would begin anew, with other batches."""
    landed = "select 1 from raw_batches where table_name = ? and rows_landed > 0 limit 1"
    for archive in source.archives:
        if archive.is_empty and connection.execute(landed, (archive.table,)).fetchone():
            raise UserError(
                f"The source {archive.source} has landed before, but its archive on this worker is empty:"
                f" {archive.remedy}."
            )


def _land_frame(connection: Connection, engine: Engine, table: str, frame: pd.DataFrame, protect: Protect) -> None:
    names = (*ARRIVAL_COLUMNS, *RAW_COLUMNS[table])
    values = frame.loc[:, list(names)].astype(object)
    columns = {name: values[name].where(values[name].notna(), None) for name in names}
    if "email" in columns:
        columns["email"] = map(protect, columns["email"])
    engine.load(connection, table, names, list(columns.values()))


def _put_in_scope(connection: Connection, where: str, parameters: tuple[str, ...] = ()) -> None:
    connection.execute(
        "insert into work_scope_batches (batch_date)"
        f" select distinct batch_date from raw_batches where {where} except select batch_date from work_scope_batches",
        parameters,
    )


def _count_unmapped(connection: Connection, frame: pd.DataFrame) -> None:
    names = ", ".join(UNMAPPED_COLUMNS)
    # The name is part of a key, whose length is limited.
    frame = frame.assign(event_name=frame["event_name"].str.slice(0, UNMAPPED_LENGTH))
    connection.executemany(
        f"insert into {UNMAPPED} ({names}) values (?, ?, ?, ?)"
        " on conflict (batch_date, source_file, event_name)"
        f" do update set rows_seen = {UNMAPPED}.rows_seen + excluded.rows_seen",
        frame.loc[:, list(UNMAPPED_COLUMNS)].astype(object).itertuples(index=False, name=None),
    )


def _advance_as_of_day(connection: Connection) -> None:
    """The as-of day is the latest day landed, and a new revision makes marts that were built before unpublishable."""
    (as_of,) = connection.execute("select max(batch_date) from raw_batches").fetchone()
    set_as_of_day(connection, date.fromisoformat(as_of))


def set_as_of_day(connection: Connection, day: date) -> None:
    connection.execute(
        "update run_state set as_of_date = ?, as_of_day = ?, as_of_month = ?, revision = revision + 1",
        (day.isoformat(), (day - EPOCH).days, day.replace(day=1).isoformat()),
    )
