"""The parts of the suite that need more than Python, and how each is enabled.

A test whose part is missing is skipped, and the end of the run names each missing part in one line. The variable of a
part makes it mandatory: the run does not start where the variable is set and the part does not work. .ci/run sets all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

ROOT = Path(__file__).parents[1]
PROGRAMS = ("redis-server", "redis-cli", "pg_isready")


class Missing(Exception):
    """Why a part cannot be used."""


@dataclass(frozen=True)
class Part:
    """`find` gets the value of the variable, which may be empty, and returns what tests use, or raises Missing."""

    name: str
    variable: str
    how: str
    find: Callable[[str], str]

    @property
    def reason(self) -> str:
        """The reason of a skipped test."""
        return f"{self.name}: {self.how}"


def _postgres(url: str) -> str:
    if not url:
        raise Missing("not named")
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise Missing(f"{_without_password(url)} does not answer: {' '.join(str(error).split())}") from error
    return url


def _redis(url: str) -> str:
    if not url:
        raise Missing("not named")
    try:
        redis.Redis.from_url(url, socket_timeout=10).ping()
    except (redis.RedisError, ValueError) as error:
        raise Missing(f"{_without_password(url)} does not answer: {error}") from error
    return url


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _real_data(folder: str) -> str:
    found = Path(folder or ROOT.parent / "shared").absolute()
    if not (found / "data").is_dir():
        raise Missing(f"{found}/data is not a folder")
    return str(found)


def _browser(path: str) -> str:
    found = shutil.which(path or "chromium")
    if not found:
        raise Missing(f"{path or 'chromium'} is no program")
    return found


def _programs(_: str) -> str:
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        raise Missing(f"{', '.join(missing)} not found")
    return "found"


_SERVERS = "SAAS_GROWTH_TEST_POSTGRES", "SAAS_GROWTH_TEST_REDIS"
PARTS = {
    part.name: part
    for part in (
        Part("PostgreSQL", _SERVERS[0], f"set {_SERVERS[0]}=postgresql://postgres@127.0.0.1:5432/postgres", _postgres),
        Part("Redis", _SERVERS[1], f"set {_SERVERS[1]}=redis://127.0.0.1:6379", _redis),
        Part(
            "real data",
            "SAAS_GROWTH_SHARED",
            "put the folder shared beside the clone, or set SAAS_GROWTH_SHARED=/path/to/shared",
            _real_data,
        ),
        Part(
            "browser",
            "SAAS_GROWTH_TEST_CHROMIUM",
            "install chromium, or set SAAS_GROWTH_TEST_CHROMIUM=/path/to/chromium",
            _browser,
        ),
        Part("server programs", "SAAS_GROWTH_TEST_PROGRAMS", f"install {', '.join(PROGRAMS)}", _programs),
    )
}


@cache
def found(name: str) -> str | None:
    """What tests of a part use: a URL, a folder or a program. None where the part is missing."""
    part = PARTS[name]
    try:
        return part.find(os.environ.get(part.variable, ""))
    except Missing:
        return None


def need(name: str) -> str:
    """What tests of a part use. The test that asks is skipped where the part is missing."""
    value = found(name)
    if value is None:
        pytest.skip(PARTS[name].reason)
    return value


def what_is_wrong() -> list[str]:
    """A sentence for each part that is mandatory and does not work."""
    wrong = []
    for part in PARTS.values():
        if value := os.environ.get(part.variable, ""):
            try:
                part.find(value)
            except Missing as missing:
                wrong.append(f"{part.variable} is set, so tests of the part {part.name} must run, but {missing}.")
    return wrong
