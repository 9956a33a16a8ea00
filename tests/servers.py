"""The servers that some tests need: PostgreSQL and Redis, which .ci/run names.

Where a variable names no server the tests that need it are skipped, and pytest's summary says so; where it names one
that does not answer, they fail.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

POSTGRES, REDIS = "SAAS_GROWTH_TEST_POSTGRES", "SAAS_GROWTH_TEST_REDIS"
EXAMPLES = {
    POSTGRES: ("PostgreSQL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    REDIS: ("Redis", "redis://127.0.0.1:6379"),
}


def postgres_url() -> str:
    """A URL of libpq of somebody who may create databases."""
    url = _named(POSTGRES)
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        pytest.fail(f"{POSTGRES}={url} does not answer: {error}")
    return url


def redis_url() -> str:
    """The server's URL, without a database's number."""
    url = _named(REDIS)
    try:
        redis.Redis.from_url(url, socket_timeout=10).ping()
    except redis.RedisError as error:
        pytest.fail(f"{REDIS}={url} does not answer: {error}")
    return url


def needed_by_all_of_a_module() -> None:
    """Called while a module is imported: where a server is missing, one line of the summary is for all its tests."""
    for variable in EXAMPLES:
        _named(variable, allow_module_level=True)


def _named(variable: str, allow_module_level: bool = False) -> str:
    url = os.environ.get(variable, "")
    if not url:
        product, example = EXAMPLES[variable]
        words = f"The {product} part did not run: set {variable}, for example to {example}"
        pytest.skip(words, allow_module_level=allow_module_level)
    return url


@contextmanager
def fresh_database(purpose: str) -> Iterator[str]:
    """The URL of a database that is there for the time being."""
    url, name = postgres_url(), f"{purpose}_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


@contextmanager
def free_redis() -> Iterator[str]:
    """The URL of a numbered database of Redis in which there is nothing, and in which nothing is left."""
    server = redis_url().rstrip("/")
    for number in range(15, 0, -1):
        url = f"{server}/{number}"
        with redis.Redis.from_url(url) as connection:
            # Taken at once, so that two who look at the same time do not get the same.
            if connection.set("taken by a test", "1", nx=True) and connection.dbsize() == 1:
                try:
                    yield url
                finally:
                    connection.flushdb()
                return
    pytest.fail(f"{server} has no database without keys: empty one with redis-cli -n <number> flushdb")
