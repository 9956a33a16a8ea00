"""Databases of their own, for a test, on the servers of tests/parts.py."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from parts import need


@contextmanager
def fresh_database(purpose: str) -> Iterator[str]:
    """The URL of a database that is dropped afterwards."""
    url, name = need("PostgreSQL"), f"{purpose}_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)")


@contextmanager
def free_redis() -> Iterator[str]:
    """The URL of an empty numbered database of Redis, which is emptied afterwards."""
    server = need("Redis").rstrip("/")
    for number in range(15, 0, -1):
        url = f"{server}/{number}"
        with redis.Redis.from_url(url) as connection:
            # Taken in one step, so that two tests that look at the same time do not get the same database.
            if connection.set("taken by a test", "1", nx=True) and connection.dbsize() == 1:
                try:
                    yield url
                finally:
                    connection.flushdb()
                return
    pytest.fail(f"{server} has no database without keys: empty one with redis-cli -n <number> flushdb")
