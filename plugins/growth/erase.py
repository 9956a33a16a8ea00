"""People are forgotten: no row of theirs stays, all numbers are computed without them, and no row comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from growth import pipeline
from growth.errors import UserError
from growth.sources import RAW_COLUMNS
from growth.sql import Sql
from growth.warehouse import Erased, heed, split

# How long readers of the file may take to end before what is left of them in it is overwritten.
PATIENCE_SECONDS = 60


class Forgotten(NamedTuple):
    """What was found of people."""

    ids: frozenset[str]
    rows: int


def asked_for(text: str) -> list[str]:
    """The user ids in a list with commas. Raises UserError where there is none."""
    ids = [part.strip() for part in text.split(",") if part.strip()]
    if not ids:
        raise UserError("Nobody is named: say who is to be erased with USER=<user id>, several with commas.")
    return ids


def erase(connection: Any, sql: Sql, user_ids: list[str], run: Mapping[str, object]) -> Forgotten:
    """Erase the people behind some user ids, publish all tables without them, and clean the file.

    Safe to repeat from any point: what a killed erasure has left in scope is computed by the next one. Raises UserError
    where nobody has such an id and nobody who was erased had it.
    """
    connection.execute("pragma secure_delete = on")
    parameters = {**run, "first_day": "", "last_day": ""}
    strangers = [i for i in user_ids if not (_is_there(connection, i) or Erased(connection).knows("id", i))]
    if strangers:
        raise UserError(
            f"No raw row has the user id {', '.join(strangers)}: look for it in raw_users, and erase by the id there."
        )
    found = _take_out(connection, sql, user_ids, parameters)
    pipeline.compute(connection, sql, parameters)
    _clean(connection)
    return found


def _is_there(connection: Any, user_id: str) -> bool:
    columns = [(t, c) for t, columns in RAW_COLUMNS.items() for c in columns if c in ("user_id", "other_user_id")]
    return any(
        connection.execute(f"select 1 from {table} where trim({column}) = ? limit 1", (user_id,)).fetchone()
        for table, column in columns
    )


def _take_out(connection: Any, sql: Sql, user_ids: list[str], parameters: Mapping[str, object]) -> Forgotten:
    """One transaction: the raw rows go, their batches are in scope, and hashes of the ids keep them out from now on."""
    connection.execute("create temp table erased_ids (kind text, id text, primary key (kind, id))")
    connection.execute("create temp table erased_rows (table_name text, batch_date text, rows_erased integer)")
    asked = [("asked", user_id) for user_id in user_ids]
    connection.executemany("insert or ignore into erased_ids (kind, id) values (?, ?)", asked)
    connection.commit()
    try:
        for statement in split(sql.erase()):
            heed(connection.execute(statement, parameters))
        (rows,) = connection.execute("select coalesce(sum(rows_erased), 0) from erased_rows").fetchone()
        ids = connection.execute("select kind, id from erased_ids where kind <> 'asked'").fetchall()
        Erased(connection).remember(ids)
        connection.execute("commit")
    except BaseException:
        connection.rollback()
        raise
    return Forgotten(frozenset(name for kind, name in ids if kind == "id"), rows)


def _clean(connection: Any) -> None:
    """Overwrite what the file and its log still hold of rows that are gone."""
    connection.execute("drop table if exists temp.erased_ids")
    connection.execute("drop table if exists temp.erased_rows")
    connection.commit()
    connection.execute("vacuum")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise UserError(
                "They are erased from all tables, but somebody reads the warehouse, so that its log could not be"
                " cleaned: end that process, then erase again."
            )
        time.sleep(0.2)
