"""The warehouse as the page sees it: read-only, one consistent picture for each request."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from growth.errors import UserError
from growth.ui.queries import load
from growth.ui.reader import Reader

CONNECTION = "growth_warehouse"


@contextmanager
def reading() -> Iterator[Reader]:
    """A reader on the connection growth_warehouse. Raises UserError, one sentence, where there is nothing to read."""
    try:
        airflow_connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        raise UserError(
            f"The connection {CONNECTION} is missing in the API server:"
            " set AIRFLOW_CONN_GROWTH_WAREHOUSE there, as for the tasks."
        ) from None
    engine = airflow_connection.conn_type
    if engine not in _OPEN:
        raise UserError(f"The connection {CONNECTION} is of type {engine}: the page reads {', '.join(_OPEN)}.")
    words, queries = load(engine)
    with plain_errors(), closing(_OPEN[engine](airflow_connection)) as connection:
        yield Reader(connection, words, queries)


def _open_sqlite(airflow_connection: Any) -> sqlite3.Connection:
    """The file, opened so that SQLite itself refuses to write.

    By the hook's own reading of the connection, whichever way that is written, but not by its get_conn: what stands in
    the connection cannot name a timeout, and a path with a % or a # in it would be another one.
    """
    path = airflow_connection.get_hook().get_uri().removeprefix("sqlite:///").partition("?")[0]
    # Rows are sent by whichever thread is free; one at a time uses the connection.
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False
    )
    connection.execute("pragma query_only = on")
    # All that follows sees the warehouse as it is at the first read, whatever a run publishes meanwhile.
    connection.execute("begin")
    return connection


_OPEN = {"sqlite": _open_sqlite}


@contextmanager
def plain_errors() -> Iterator[None]:
    """What the database says of a file that cannot be read, as a sentence for people who may not know of files."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        for symptom, sentence in {
            "unable to open": "is not there yet, or not visible to the API server: trigger the DAG saas_growth,"
            " and check the path in the connection",
            "not a database": "is not a SQLite database: name another file in the connection",
            "malformed": "is damaged: restore a copy of it",
            "no such ": f"has not the tables that the definitions speak of ({said}): trigger the DAG saas_growth",
            "locked": "is locked by another process: try again in a minute",
            "readonly": "cannot be read without writing beside it: make its folder writable for the API server",
        }.items():
            if symptom in said:
                raise UserError(f"The warehouse of the connection {CONNECTION} {sentence}.") from None
        raise
