"""The databases that a warehouse can be: what differs between them beyond the text of their SQL.

The type of the connection `growth_warehouse` selects one. Differences of SQL are macros in include/sql/engines. What
the code needs besides (opening, loading, transactions, the meaning of errors, a database aside) is one class per engine
here. To add an engine, write a module with an ENGINE and a file of macros, and add a line to MODULES.
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
"""By connection type. Each is imported on first use: its driver may not be installed."""

FILES = ("sqlite", "duckdb")

# The engine of a file by its suffix, where a command names a file instead of a connection.
SUFFIXES = {".duckdb": "duckdb"}

__all__ = ["MODULES", "Aside", "Connection", "Engine", "Place", "engine", "place_of", "place_of_airflow", "transaction"]


class Place(NamedTuple):
    """Where a warehouse is: the fields of an Airflow connection."""

    kind: str
    host: str = ""
    port: int | None = None
    login: str | None = None
    password: str | None = None
    schema: str = ""
    extra: dict[str, Any] = {}  # noqa: RUF012 - never changed
    hook: Callable[[], Any] | None = None
    """Opens it with the provider's hook, which may support options that are not fields here."""

    @property
    def engine(self) -> Engine:
        return engine(self.kind)

    @property
    def path(self) -> Path:
        """The file, where the warehouse is one."""
        return Path(self.host)

    def __str__(self) -> str:
        return self.engine.describe(self)

    def as_json(self) -> str:
        """The value of AIRFLOW_CONN_GROWTH_WAREHOUSE that means this place."""
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
    """A place from the value of a connection's environment variable, JSON or URI. Raises UserError.

    airflow.models.Connection reads the same, but takes two seconds to import, which each command would pay.
    """
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
            ' {"conn_type": "sqlite", "host": "/folder/file.db"}: correct it, or name a file with WAREHOUSE=.'
        ) from None


def place_of_airflow(connection: Any) -> Place:
    """A place from a connection of Airflow."""
    kind = {"postgresql": "postgres"}.get(connection.conn_type, connection.conn_type)
    # Airflow reads the path of sqlite:///folder/file.db as a schema.
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
