"""The servers that tests may use: environment variables name them, as .ci/run does."""

from __future__ import annotations

import os
from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

from growth.engines import Place

POSTGRES = os.environ.get("SAAS_GROWTH_TEST_POSTGRES")
"""The URL of a database on a PostgreSQL server in which schemas may be made, such as postgresql://user@host/database."""
REDIS = os.environ.get("SAAS_GROWTH_TEST_REDIS")


def postgres_place(schema: str | None = None) -> Place:
    """A schema of its own in the database. It is dropped by without_schema."""
    url = urlsplit(POSTGRES)
    # Nothing that a test writes has to outlive a power cut.
    options = f"-c search_path={schema or f'test_{uuid4().hex[:12]}'} -c synchronous_commit=off"
    database = url.path.strip("/") or "postgres"
    return Place("postgres", url.hostname, url.port or 5432, url.username, url.password, database, {"options": options})


def without_schema(place: Place) -> None:
    """Drop the schema of a place."""
    with closing(place.engine.connect(place)) as connection:
        (schema,) = connection.execute("show search_path").fetchone()
        connection.execute(f'drop schema if exists "{schema}" cascade')
