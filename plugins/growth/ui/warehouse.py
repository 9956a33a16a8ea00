"""The warehouse as the page sees it: read-only, one consistent picture for each request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from growth.engines import Place, place_of_airflow
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
    place = place_of_airflow(airflow_connection)
    engine = place.engine
    words, queries = load(place.kind)
    with plain_errors(place), closing(engine.read(place)) as connection:
        yield Reader(connection, words, queries)


@contextmanager
def plain_errors(place: Place) -> Iterator[None]:
    """What the database says of a warehouse that cannot be read, as a sentence for people who may not know of it."""
    try:
        yield
    except place.engine.Error as error:
        said = " ".join(str(error).split())
        for symptom, sentence in place.engine.READER_SYMPTOMS.items():
            if symptom in said:
                sentence = sentence.format(said=said)
                raise UserError(f"The warehouse of the connection {CONNECTION} {sentence}.") from None
        raise
