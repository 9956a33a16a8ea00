"""Connections to a warehouse and what runs on them: statements, transactions, errors as sentences."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from growth.engines import Connection, Place
from growth.errors import PassingError, UserError
from growth.language.sql import Sql


class Refused(PassingError):
    """A statement found that its task may not go on; the transaction is undone."""


def raise_on_refusal(cursor: Any) -> None:
    """Raise Refused where the statement that the cursor has executed has a column `refusal`, and a row."""
    if cursor.description and cursor.description[0][0] == "refusal" and (row := cursor.fetchone()):
        raise Refused(row[0])


def run_statements(connection: Connection, statements: Sequence[str], parameters: Mapping[str, object]) -> float:
    """Run statements that begin and commit their own transaction; gives the seconds. An error undoes it."""
    started = time.perf_counter()
    with closing(connection.cursor()) as cursor:
        try:
            for statement in statements:
                cursor.execute(statement, parameters)
                raise_on_refusal(cursor)
        except BaseException:
            connection.rollback()
            raise
    return time.perf_counter() - started


@contextmanager
def exclusive_transaction(connection: Connection, sql: Sql) -> Iterator[None]:
    """A transaction beside which no other writes."""
    try:
        for statement in sql.begin():
            connection.execute(statement)
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def connecting(place: Place) -> Iterator[Connection]:
    """A connection to write with, for a process that has no hook of Airflow; database errors become one sentence."""
    with plain_errors(place), closing(place.engine.connect(place)) as connection:
        yield connection


@contextmanager
def plain_errors(place: Place, name: str = "", symptoms: Mapping[str, str] | None = None) -> Iterator[None]:
    """Errors of a database that cannot be used as a warehouse become one sentence; readers have their own symptoms."""
    engine = place.engine
    try:
        yield
    except engine.Error as error:
        said = " ".join(str(error).split())
        for symptom, sentence in (symptoms or engine.SYMPTOMS).items():
            if symptom in said:
                kind = PassingError if symptom in engine.PASSING else UserError
                raise kind(f"The warehouse {name or place} {sentence.format(said=said)}.") from None
        raise
