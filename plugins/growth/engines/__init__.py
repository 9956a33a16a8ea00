"""The databases that a warehouse may be: what differs between them beyond the text of their SQL.

The connection `growth_warehouse` says which it is. The SQL's own differences are macros in include/sql/engines; what
the machinery needs besides (opening, loading, transactions, what errors mean, a place aside) is one class for each
engine here. A further one is a module with an ENGINE and a file of macros, and a line in MODULES.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from growth.engines.base import Aside, Connection, Engine, transaction
from growth.errors import UserError

MODULES = {"sqlite": "growth.engines.sqlite", "duckdb": "growth.engines.duckdb", "postgres": "growth.engines.postgres"}
"""By the type of the connection. Each is imported where it is used: its driver may not be installed."""

FILES = ("sqlite", "duckdb")

# What a file of each engine is called, where a command names a file and no connection.
SUFFIXES = {".duckdb": "duckdb"}

__all__ = ["MODULES", "Aside", "Connection", "Engine", "Place", "engine", "place_of", "place_of_airflow", "transaction"]


class Place(NamedTuple):
    """Where a warehouse is: what a connection of Airflow says."""

    kind: str
    host: str = ""
    port: int | None = None
    login: str | None = None
    password: str | None = None
    schema: str = ""
    extra: dict[str, Any] = {}  # noqa: RUF012 - never changed
    hook: Callable[[], Any] | None = None
    """What opens it in Airflow, where a provider may know more of the connection than is said here."""

    @property
    def engine(self) -> Engine:
        return engine(self.kind)

    @property
    def path(self) -> Path:
        """The file of a warehouse that is one."""
        return Path(self.host)

    def __str__(self) -> str:
        return self.engine.shown(self)

    def as_json(self) -> str:
        """As AIRFLOW_CONN_GROWTH_WAREHOUSE says it."""
        said = {
            "conn_type": self.kind,
            "host": self.host,
            "port": self.port,
            "login": self.login,
            "password": self.password,
            "schema": self.schema,
            "extra": self.extra,
        }
        return json.dumps({key: value for key, value in said.items() if value})


@cache
def engine(kind: str) -> Engine:
    """The engine of a type of connection. Raises UserError where there is none, or where its driver is missing."""
    if kind not in MODULES:
        raise UserError(
            f"The connection growth_warehouse (AIRFLOW_CONN_GROWTH_WAREHOUSE) is of type {kind}:"
            f" the warehouse runs on {', '.join(MODULES)}."
        )
    try:
        return import_module(MODULES[kind]).ENGINE
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("growth"):
            raise
        raise UserError(
            f"The package {error.name}, which a warehouse on {kind} needs, is not installed:"
            f" pip install -r requirements-{kind}.txt -c constraints.txt."
        ) from None


def place_of(connection: str) -> Place:
    """What the environment variable of a connection says, JSON or URI. Raises UserError."""
    try:
        if connection.lstrip().startswith("{"):
            said = json.loads(connection)
            extra = said.get("extra") or {}
            if said["conn_type"] in FILES and not said.get("host"):
                raise ValueError
            return Place(
                {"postgresql": "postgres"}.get(said["conn_type"], said["conn_type"]),
                said.get("host") or "",
                int(said["port"]) if said.get("port") else None,
                said.get("login"),
                said.get("password"),
                said.get("schema") or "",
                json.loads(extra) if isinstance(extra, str) else dict(extra),
            )
        parts = urlsplit(connection)
        kind = {"postgresql": "postgres"}.get(parts.scheme, parts.scheme)
        if kind not in MODULES:
            raise ValueError
        extra = dict(parse_qsl(parts.query))
        if kind in FILES:
            return Place(kind, unquote(parts.netloc or parts.path), extra=extra)
        return Place(
            kind,
            unquote(parts.hostname or ""),
            parts.port,
            parts.username and unquote(parts.username),
            parts.password and unquote(parts.password),
            unquote(parts.path.strip("/")),
            extra,
        )
    except (ValueError, KeyError, TypeError):
        raise UserError(
            "AIRFLOW_CONN_GROWTH_WAREHOUSE is not of the form"
            ' {"conn_type": "sqlite", "host": "/folder/file.db"}: mend it, or name a file with WAREHOUSE=.'
        ) from None


def place_of_airflow(connection: Any) -> Place:
    """The same from a connection that Airflow has found."""
    kind = {"postgresql": "postgres"}.get(connection.conn_type, connection.conn_type)
    # Of sqlite:///folder/file.db Airflow makes a schema.
    host = connection.host or (f"/{connection.schema}" if kind == "sqlite" and connection.schema else "")
    return Place(
        kind,
        host,
        connection.port,
        connection.login,
        connection.password,
        connection.schema or "",
        dict(connection.extra_dejson),
        lambda: connection.get_hook().get_conn(),
    )
