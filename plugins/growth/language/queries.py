"""The queries that pages and commands ask: the files of include/sql/page and include/sql/terminal.

What a request says is bound as a parameter. A template may also have variables: each has one of the values that a
comment in its file allows, such as `{# sort: month | people #}`. Those of `no | yes` are off unless they are given.
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
    """As `page/months`."""
    return sorted(f"{folder}/{path.stem}" for folder in FOLDERS for path in (SQL_FOLDER / folder).glob("*.sql"))


@cache
def allowed(name: str) -> dict[str, list[str | bool]]:
    """The variables of a query's template, each with the values that it may have."""
    lines = _ALLOWED.findall((SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))
    return {
        variable: [_SWITCH.get(value, value) for value in values.split(" | ")]
        for variables, values in lines
        for variable in variables.split(", ")
    }


def shapes(name: str) -> list[dict[str, str | bool]]:
    """Enough values for the variables to see each part of the query: each value beside all first and all last ones."""
    ends = [{variable: values[end] for variable, values in allowed(name).items()} for end in (0, -1)]
    others = [end | {variable: value} for end in ends for variable, values in allowed(name).items() for value in values]
    return [shape for number, shape in enumerate(ends + others) if shape not in (ends + others)[:number]]


def query_text(sql: Sql, name: str, **variables: str | bool) -> str:
    """A query as the engine gets it. Raises ValueError for a value that its file does not allow."""
    values = allowed(name)
    for variable, value in variables.items():
        if value not in values.get(variable, []):
            raise ValueError(f"the query {name} has no {variable} {value!r}")
    off = {variable: False for variable in values if False in values[variable]}
    return sql.render(f"{name}.sql", **off | variables)


def write_queries(sql: Sql, folder: Path) -> None:
    """Each query in its shapes, for a linter."""
    for name in query_names():
        for number, text in enumerate(dict.fromkeys(query_text(sql, name, **shape) for shape in shapes(name))):
            (folder / f"{name.replace('/', '__')}_{number}.sql").write_text(text + "\n", encoding="utf-8")


class Reader:
    """Asks the queries on an open connection."""

    def __init__(self, sql: Sql, connection: Connection) -> None:
        self.sql = sql
        self._connection = connection

    @property
    def definitions(self) -> Definitions:
        return self.sql.definitions

    @cached_property
    def tables(self) -> set[str]:
        """The names of the tables that there are."""
        return self.sql.engine.tables(self._connection)

    def stream(
        self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool
    ) -> Iterator[Row]:
        """The rows of a query, one after the other."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(query_text(self.sql, query, **variables), dict(parameters or {}))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def rows(self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool) -> list[Row]:
        return list(self.stream(query, parameters, **variables))

    def row(self, query: str, parameters: Mapping[str, object] | None = None, **variables: str | bool) -> Row:
        """The only row that the query has."""
        (row,) = self.stream(query, parameters, **variables)
        return row
