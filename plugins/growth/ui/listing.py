"""Long tables: sorted, searched and paged by the database, and the same rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from growth.ui.filters import BadRequest, Filters
from growth.ui.parts import Column, Listing
from growth.ui.reader import Reader, Row

PAGE_ROWS = 25
_NO_LIMIT = 2**62
# Rows for the network at once.
_CSV_ROWS = 500


@dataclass(frozen=True)
class Field:
    """A column of a list: its title, what sorts by it (a column of the query; None where nothing does), its text."""

    name: str
    title: str
    sort: str | None
    text: Callable[[Row], str]
    is_number: bool = False
    in_csv: Callable[[Row], Any] | None = None


@dataclass(frozen=True)
class Source:
    """A list that people page through: its query with its shape, and its columns."""

    query: str
    shape: dict[str, Any]
    fields: Sequence[Field]
    sorted_by: str
    order: str

    def asked(self, filters: Filters) -> tuple[Field, str]:
        """The column to sort by and the order. Raises BadRequest for one that the list has not."""
        sortable = {field.name: field for field in self.fields if field.sort}
        name = filters.sort or self.sorted_by
        order = filters.order or (self.order if name == self.sorted_by else "asc")
        if name not in sortable:
            raise BadRequest(f"The list cannot be sorted by {name!r}: choose one of {', '.join(sortable)}.")
        if order not in ("asc", "desc"):
            raise BadRequest(f"The order {order!r} is none: write asc or desc.")
        return sortable[name], order

    def rows(self, reader: Reader, filters: Filters, size: int, start: int) -> Iterator[Row]:
        field, order = self.asked(filters)
        return reader.stream(
            self.query,
            {"pattern": filters.pattern, "size": size, "start": start},
            **self.shape,
            counted=False,
            searched=filters.q is not None,
            sort=field.sort,
            descending=order == "desc",
        )

    def total(self, reader: Reader, filters: Filters) -> int:
        """How many rows there are on all pages."""
        shape = self.shape | {"sort": None, "descending": False, "searched": filters.q is not None}
        (total,) = reader.row(self.query, {"pattern": filters.pattern}, **shape, counted=True).values()
        return total


def page_of(
    source: Source,
    reader: Reader,
    filters: Filters,
    *,
    name: str,
    title: str,
    says: str,
    download: str,
    tabs: Sequence[tuple[str, str, bool]] = (),
) -> Listing:
    """The rows of the page asked for, and the links to the others; the last page where there are not so many."""
    total = source.total(reader, filters)
    page = min(filters.page, max(1, -(-total // PAGE_ROWS)))
    start = (page - 1) * PAGE_ROWS
    rows = [[field.text(row) for field in source.fields] for row in source.rows(reader, filters, PAGE_ROWS, start)]
    by, order = source.asked(filters)
    columns = []
    for field in source.fields:
        is_this = field is by
        other = "desc" if is_this and order == "asc" else "asc"
        link = filters.address(sort=field.name, order=other, page=None) if field.sort else None
        state = {"asc": "ascending", "desc": "descending"}[order] if is_this else None
        columns.append(Column(field.title, field.is_number, link, state))
    hidden = {"list": filters.list, "sort": filters.sort, "order": filters.order}
    return Listing(
        name,
        title,
        says,
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


def as_csv(source: Source, reader: Reader, filters: Filters) -> Iterator[str]:
    """All rows of the list as CSV, in its order."""
    # Asked before the first line is given: what is wrong is still an answer of its own then.
    rows = source.rows(reader, filters, _NO_LIMIT, 0)
    ahead = next(rows, None)
    yield _lines([[field.name for field in source.fields]])
    part: list[list[object]] = []
    for row in chain([ahead] if ahead else [], rows):
        part.append([(field.in_csv or field.text)(row) for field in source.fields])
        if len(part) == _CSV_ROWS:
            yield _lines(part)
            part = []
    yield _lines(part)


def _lines(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([_harmless(value) for value in row] for row in rows)
    return out.getvalue()


def _harmless(value: object) -> object:
    """A spreadsheet takes text that begins with one of these signs for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
