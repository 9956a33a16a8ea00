"""Long tables that the database sorts, searches and pages, and the same rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from growth.language.queries import Reader, Row
from growth.ui.filters import BadRequest, Filters
from growth.ui.parts import Column, Listing
from growth.ui.terms import Term

PAGE_ROWS = 25
_NO_LIMIT = 2**62
_CSV_ROWS = 500  # that are sent at once


@dataclass(frozen=True)
class Field:
    """A column of a listed table: its title, the column of the query that sorts by it (or None), and its text."""

    name: str
    title: Term
    sort: str | None
    text: Callable[[Row], str]
    is_number: bool = False
    in_csv: Callable[[Row], Any] | None = None


@dataclass(frozen=True)
class ListedTable:
    """A table that people page through: its query with the query's variables, its columns, and its default order."""

    query: str
    variables: dict[str, str | bool]
    fields: Sequence[Field]
    sorted_by: str
    order: str

    def sorting(self, filters: Filters) -> tuple[Field, str]:
        """The column to sort by and the order. Raises BadRequest for a column that cannot be sorted by."""
        sortable = {field.name: field for field in self.fields if field.sort}
        name = filters.sort or self.sorted_by
        order = filters.order or (self.order if name == self.sorted_by else "asc")
        if name not in sortable:
            raise BadRequest(f"The list cannot be sorted by {name!r}: choose one of {', '.join(sortable)}.")
        if order not in ("asc", "desc"):
            raise BadRequest(f"There is no order {order!r}: write asc or desc.")
        return sortable[name], order

    def rows(self, reader: Reader, filters: Filters, size: int, start: int) -> Iterator[Row]:
        field, order = self.sorting(filters)
        parameters = {"pattern": filters.pattern, "size": size, "start": start}
        order_by = {"sort": field.sort, "descending": order == "desc"}
        return reader.stream(self.query, parameters, **self.variables, **order_by, searched=filters.q is not None)

    def total(self, reader: Reader, filters: Filters) -> int:
        """How many rows there are on all pages."""
        parameters = {"pattern": filters.pattern}
        row = reader.row(self.query, parameters, **self.variables, counted=True, searched=filters.q is not None)
        (total,) = row.values()
        return total


def listing(
    table: ListedTable,
    reader: Reader,
    filters: Filters,
    *,
    name: str,
    title: str,
    sentence: str,
    download: str,
    tabs: Sequence[tuple[str, str, bool]] = (),
) -> Listing:
    """The page of the table that the filters ask for, or the last one where there are fewer."""
    total = table.total(reader, filters)
    page = min(filters.page, max(1, -(-total // PAGE_ROWS)))
    start = (page - 1) * PAGE_ROWS
    rows = [[field.text(row) for field in table.fields] for row in table.rows(reader, filters, PAGE_ROWS, start)]
    sorted_by, order = table.sorting(filters)
    columns = []
    for field in table.fields:
        is_sorted = field is sorted_by
        reverse = "desc" if is_sorted and order == "asc" else "asc"
        link = filters.address(sort=field.name, order=reverse, page=None) if field.sort else None
        state = {"asc": "ascending", "desc": "descending"}[order] if is_sorted else None
        columns.append(Column(field.title, field.is_number, link, state))
    hidden = {"list": filters.list, "sort": filters.sort, "order": filters.order}
    return Listing(
        name,
        title,
        sentence,
        tabs,
        [(key, value) for key, value in hidden.items() if value],
        filters.q or "",
        columns,
        rows,
        total,
        start + 1 if rows else 0,
        start + len(rows),
        filters.address(page=page - 1 if page > 2 else None) if page > 1 else None,
        filters.address(page=page + 1) if start + len(rows) < total else None,
        download + filters.address(page=None, list=None),
    )


def as_csv(table: ListedTable, reader: Reader, filters: Filters) -> Iterator[str]:
    """All rows of the table as CSV, in its order."""
    # The first row is read before anything is sent, so that an error can still become an answer of its own.
    rows = table.rows(reader, filters, _NO_LIMIT, 0)
    first = next(rows, None)
    yield _lines([[field.name for field in table.fields]])
    part: list[list[object]] = []
    for row in chain([first] if first else [], rows):
        part.append([(field.in_csv or field.text)(row) for field in table.fields])
        if len(part) == _CSV_ROWS:
            yield _lines(part)
            part = []
    yield _lines(part)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([_without_formula(value) for value in row] for row in rows)
    return out.getvalue()


def _without_formula(value: object) -> object:
    """Spreadsheets run text that begins with one of these characters as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
