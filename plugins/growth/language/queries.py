"""The queries of pages and commands: the files of include/sql/page and include/sql/terminal.

The values of a request are bound as parameters. A template may also have variables. A comment in its file lists their
allowed values, such as `{# sort: month | people #}`. Variables with `no | yes` are off by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from growth.engines import Connection
from growth.language.definitions import Definitions
from growth.language.sql import Sql
from growth.language.tables import SQL_FOLDER

FOLDERS = ("page", "terminal")

_ALLOWED = re.compile(r"^\{# ([a-z_, ]+): (.+) #\}$", re.MULTILINE)
_SWITCH = {"no": False, "yes": True}

Row = dict[str, Any]


def query_names() -> list[str]:
    """All queries, by names such as `page/months`."""
    return sorted(f"{folder}/{path.stem}" for folder in FOLDERS for path in (SQL_FOLDER / folder).glob("*.sql"))


@cache
def allowed(name: str) -> dict[str, list[str | bool]]:
    """The variables of a query's template, with their allowed values."""
    lines = _ALLOWED.findall((SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return {
        variable: [_SWITCH.get(value, value) for value in values.split(" | ")]
        for variables, values in lines
        for variable in variables.split(", ")
    }


def shapes(name: str) -> list[dict[str, str | bool]]:
    """Combinations of values that cover each part of the query: each value with all first and with all last values."""
    ends = [{variable: values[end] for variable, values in allowed(name).items()} for end in (0, -1)]
    others = [end | {variable: value} for end in ends for variable, values in allowed(name).items() for value in values]
    return [shape for number, shape in enumerate(ends + others) if shape not in (ends + others)[:number]]


def query_text(sql: Sql, name: str, **variables: str | bool) -> str:
    """The rendered query. Raises ValueError for a value that its file does not allow."""
    values = allowed(name)
    for variable, value in variables.items():
        if value not in values.get(variable, []):
            raise ValueError(f"the query {name} has no {variable} {value!r}")
    off = {variable: False for variable in values if False in values[variable]}
    return sql.render(f"{name}.sql", **off | variables)


def write_queries(sql: Sql, folder: Path) -> None:
    """Write each query in all its shapes, for linters."""
    for name in query_names():
        for number, text in enumerate(dict.fromkeys(query_text(sql, name, **shape) for shape in shapes(name))):
            (folder / f"{name.replace('/', '__')}_{number}.sql").write_text(text + "\n", encoding="utf-8")


class Reader:
    """Runs queries on an open connection."""

    def __init__(self, sql: Sql, connection: Connection) -> None:
        self.sql = sql
        self._connection = connection

    @property
    def definitions(self) -> Definitions:
        return self.sql.definitions

    @cached_property
    def tables(self) -> set[str]:
        """The names of the existing tables."""
        return self.sql.engine.tables(self._connection)

    def stream(
        self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool
    ) -> Iterator[Row]:
        """The rows of a query, one at a time."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(query_text(self.sql, query, **variables), dict(parameters or {}))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def rows(self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool) -> list[Row]:
        return list(self.stream(query, parameters, **variables))

    def row(self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool) -> Row:
        """The row of a query that has exactly one."""
        (row,) = self.stream(query, parameters, **variables)
        return row
