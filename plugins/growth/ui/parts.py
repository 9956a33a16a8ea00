"""What a page is made of, as the template gets it, and how numbers are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from growth.ui.intervals import Rate

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
    """A column's name as people say it."""
    return name.replace("_", " ")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Table:
    """A table behind a chart, or on its own; the first columns are words, the others numbers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    word_columns: int = 1


@dataclass(frozen=True)
class Tile:
    """A number that matters: of how many, against what, and whether it can still change."""

    kind: ClassVar[str] = "tile"
    name: str
    title: str
    value: str
    of: str
    compared: Sequence[tuple[str, str, str]] = ()  # with when, what it was, of how many
    changes: str | None = None


@dataclass(frozen=True)
class Tiles:
    """Numbers beside each other."""

    kind: ClassVar[str] = "tiles"
    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Chart:
    """A figure, what it says in a sentence, and its numbers as a table."""

    kind: ClassVar[str] = "chart"
    name: str
    title: str
    says: str
    figure: Any
    table: Table
    is_wide: bool = True
    least_width: int = 0


@dataclass(frozen=True)
class Sheet:
    """A table without a picture."""

    kind: ClassVar[str] = "sheet"
    name: str
    title: str
    says: str
    table: Table
    is_open: bool


@dataclass(frozen=True)
class Column:
    """A column of a listing: its link sorts by it, in the order that it has not yet."""

    title: str
    is_number: bool
    link: str | None
    sorted: str | None  # ascending, descending


@dataclass(frozen=True)
class Listing:
    """A long table: a part of it, and the links to the rest."""

    kind: ClassVar[str] = "listing"
    name: str
    title: str
    says: str
    tabs: Sequence[tuple[str, str, bool]]  # words, link, whether it is this one
    hidden: Sequence[tuple[str, str]]  # what the form of the search carries along
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
    """A sentence where there is nothing to draw."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass
class Content:
    """What a page shows below its form."""

    parts: list[Any] = field(default_factory=list)

    def add(self, part: Any) -> None:
        self.parts.append(part)
