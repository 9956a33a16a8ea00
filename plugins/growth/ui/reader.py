"""The page's questions, asked of one open connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from growth.language.definitions import Definitions
from growth.ui.queries import Queries

Row = dict[str, Any]


class Reader:
    """Asks the page's queries of one open connection."""

    def __init__(self, connection: Any, words: Definitions, queries: Queries) -> None:
        self._connection = connection
        self._queries = queries
        self.words = words
        self.tables = frozenset(row[0] for row in connection.execute(queries.tables()))

    def stream(self, query: str, parameters: Mapping[str, object] | None = None, **shape: Any) -> Iterator[Row]:
        """The rows of a query of include/sql/page, one after the other."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(self._queries.text(query, **shape), dict(parameters or {}))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def rows(self, query: str, parameters: Mapping[str, object] | None = None, **shape: Any) -> list[Row]:
        return list(self.stream(query, parameters, **shape))

    def row(self, query: str, parameters: Mapping[str, object] | None = None, **shape: Any) -> Row:
        """The only row that the query has."""
        (row,) = self.stream(query, parameters, **shape)
        return row
