"""The parts of a page, as the template gets them, and how numbers are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from growth.ui.intervals import Rate
from growth.ui.terms import Term

NOTHING = "-"


def count(number: float | None) -> str:
    return NOTHING if number is None else f"{number:,.0f}"


def decimal(number: float | None) -> str:
    return NOTHING if number is None else f"{number:,.1f}"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"


def interval(rate: Rate) -> str:
    """The share with the interval around it."""
    if rate.value is None:
        return NOTHING
    return f"{percent(rate.value)} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def words(name: str) -> str:
    """The name of a column without underscores."""
    return name.replace("_", " ")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Table:
    """A table: the first columns are words, the others numbers."""

    headers: Sequence[str | Term]
    rows: Sequence[Sequence[str]]
    word_columns: int = 1


@dataclass(frozen=True)
class Tile:
    """A number with its whole, earlier values to compare it with, and whether it can still change."""

    name: str
    title: str | Term
    value: str
    of: str
    earlier: Sequence[tuple[str, str, str]] = ()  # month, value, whole
    can_change: str | None = None


@dataclass(frozen=True)
class Tiles:
    """A row of tiles."""

    kind: ClassVar[str] = "tiles"
    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Chart:
    """A figure, a sentence about it, and its numbers as a table."""

    kind: ClassVar[str] = "chart"
    name: str
    title: str
    sentence: str
    figure: Any
    table: Table
    is_wide: bool = True
    least_width: int = 0


@dataclass(frozen=True)
class Sheet:
    """A table without a figure."""

    kind: ClassVar[str] = "sheet"
    name: str
    title: str
    sentence: str
    table: Table
    is_open: bool


@dataclass(frozen=True)
class Column:
    """A column of a listing. Its link sorts by it, or reverses the order."""

    title: Term
    is_number: bool
    link: str | None
    sorted: str | None  # ascending, descending


@dataclass(frozen=True)
class Listing:
    """Some rows of a long table, and the links to the others."""

    kind: ClassVar[str] = "listing"
    name: str
    title: str
    sentence: str
    tabs: Sequence[tuple[str, str, bool]]  # title, link, whether it is the open one
    hidden: Sequence[tuple[str, str]]  # the values that the search form submits unchanged
    q: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[str]]
    total: int
    first: int
    last: int
    previous: str | None
    next: str | None
    download: str


@dataclass(frozen=True)
class Note:
    """A sentence instead of a figure that would be empty."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass
class Content:
    """The parts of a page below its form."""

    parts: list[Any] = field(default_factory=list)

    def add(self, part: Any) -> None:
        self.parts.append(part)
