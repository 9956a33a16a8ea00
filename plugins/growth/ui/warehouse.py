"""The warehouse as the pages see it: read-only, and one consistent state for each request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from growth.engines import place_of_airflow
from growth.errors import UserError
from growth.language import definitions
from growth.language.queries import Reader
from growth.language.sql import Sql
from growth.warehouse.scripts import plain_errors

CONNECTION = "growth_warehouse"


@contextmanager
def reading() -> Iterator[Reader]:
    """A reader on the connection growth_warehouse. Raises UserError where it cannot be read."""
    try:
        airflow_connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        raise UserError(
            f"The connection {CONNECTION} is missing in the API server:"
            " set AIRFLOW_CONN_GROWTH_WAREHOUSE there, as for the tasks."
        ) from None
    place = place_of_airflow(airflow_connection)
    sql = _sql(place.kind, definitions.PATH.stat().st_mtime_ns if definitions.PATH.exists() else 0)
    name, symptoms = f"of the connection {CONNECTION}", place.engine.READER_SYMPTOMS
    with plain_errors(place, name, symptoms), closing(place.engine.read(place)) as connection:
        yield Reader(sql, connection)


@cache
def _sql(engine: str, changed: int) -> Sql:
    """The statements by the dictionary, which is read again when its file has changed."""
    return Sql(definitions.load(), engine)
