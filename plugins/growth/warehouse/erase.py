"""Erasing people: their rows go, all numbers are computed without them, and their rows are not landed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from growth.engines import Connection, Place
from growth.errors import UserError
from growth.language.raw import RAW_COLUMNS
from growth.language.sql import Sql
from growth.warehouse import pipeline
from growth.warehouse.erased import Erased
from growth.warehouse.scripts import raise_on_refusal
from growth.warehouse.state import settle


class Forgotten(NamedTuple):
    """What was erased."""

    ids: frozenset[str]
    rows: int


def asked_for(text: str) -> list[str]:
    """The user ids in a list separated by commas. Raises UserError where there is none."""
    ids = [part.strip() for part in text.split(",") if part.strip()]
    if not ids:
        raise UserError("No user is named: name who is to be erased with USER=<user id>, several separated by commas.")
    return ids


def erase(place: Place, connection: Connection, sql: Sql, user_ids: list[str], run: Mapping[str, object]) -> Forgotten:
    """Erase the people behind some user ids, publish all tables without them, and scrub the database.

    It can be repeated from any point: the next run computes what a killed erasure has left in scope. Raises UserError
    where no raw row has an id, unless that id was erased before.
    """
    parameters = {**run, "first_day": "", "last_day": ""}
    strangers = [i for i in user_ids if not (_is_there(connection, i) or Erased(connection).knows("id", i))]
    if strangers:
        raise UserError(
            f"No raw row has the user id {', '.join(strangers)}: look for it in raw_users, and erase by the id there."
        )
    found = _take_out(connection, sql, user_ids, parameters)
    pipeline.compute(connection, sql, parameters)
    if not sql.engine.scrub(place, connection):
        raise UserError(
            "They are erased from all tables, but a process that reads the warehouse prevents that the deleted rows are"
            " overwritten in its files: end that process, then erase again."
        )
    return found


def _is_there(connection: Connection, user_id: str) -> bool:
    columns = [(t, c) for t, columns in RAW_COLUMNS.items() for c in columns if c in ("user_id", "other_user_id")]
    return any(
        connection.execute(f"select 1 from {table} where trim({column}, ' ') = ? limit 1", (user_id,)).fetchone()
        for table, column in columns
    )


def _take_out(connection: Connection, sql: Sql, user_ids: list[str], parameters: Mapping[str, object]) -> Forgotten:
    """One transaction: delete the raw rows, put their batches in scope, and keep hashes of the ids."""
    connection.execute("create temp table erased_ids (kind text, id text)")
    connection.execute("create temp table erased_rows (table_name text, batch_date text, rows_erased integer)")
    asked = [("asked", user_id) for user_id in dict.fromkeys(user_ids)]
    connection.executemany("insert into erased_ids (kind, id) values (?, ?)", asked)
    try:
        for statement in sql.erase():
            raise_on_refusal(connection.execute(statement, parameters))
        (rows,) = connection.execute("select coalesce(sum(rows_erased), 0) from erased_rows").fetchone()
        ids = connection.execute("select kind, id from erased_ids where kind <> 'asked'").fetchall()
        Erased(connection).remember(ids)
        settle(connection, sql)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    connection.execute("drop table erased_ids")
    connection.execute("drop table erased_rows")
    return Forgotten(frozenset(name for kind, name in ids if kind == "id"), rows)
