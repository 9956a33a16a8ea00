"""What an engine is asked for, and how a connection speaks: statements with ? or :name for what is bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from growth.engines import Place

Parameters = Sequence[object] | Mapping[str, object]


class Cursor(Protocol):
    """A cursor of Python's DB-API."""

    description: Any

    def execute(self, statement: str, parameters: Parameters = ...) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchmany(self, size: int) -> list[Any]: ...
    def fetchall(self) -> list[Any]: ...
    def close(self) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection on which nothing but `begin` opens a transaction. sqlite3's own is one."""

    def execute(self, statement: str, parameters: Parameters = ...) -> Any: ...
    def executemany(self, statement: str, rows: Iterable[Parameters]) -> Any: ...
    def cursor(self) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """What is written inside stays, all of it or nothing. Writing comes first in it: SQLite asks for that."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


class Aside(NamedTuple):
    """A database beside a warehouse."""

    connection: Connection
    looking: Callable[[], AbstractContextManager[Callable[[str], str]]]
    """While it is open, the function that gives the name under which the connection sees a table of the warehouse."""


class Engine:
    """A database. What is said here is said of all of them; what one does otherwise, it says itself."""

    name: ClassVar[str]
    is_file: ClassVar[bool] = True
    Error: ClassVar[type[Exception]]
    SYMPTOMS: ClassVar[Mapping[str, str]]
    """Words in what the database says of an error, and what they mean, as the end of a sentence about the warehouse."""
    READER_SYMPTOMS: ClassVar[Mapping[str, str]]
    """The same for those who only read, who may not know of files."""
    PASSING: ClassVar[tuple[str, ...]] = ()
    """Symptoms of what may be over when a task is tried again."""

    # --- Opening

    def shown(self, place: Place) -> str:
        """The place in words, without its secrets."""
        return place.host

    def shell(self, place: Place) -> str:
        """The command that takes a query as its last argument, for whoever reads."""
        raise NotImplementedError

    def exists(self, place: Place) -> bool:
        """Whether there is anything at the place."""
        raise NotImplementedError

    def open(self, place: Place) -> Any:
        """A connection of the driver's own: by Airflow's hook, where there is one."""
        return place.hook() if place.hook else self._open(place)

    def _open(self, place: Place) -> Any:
        raise NotImplementedError

    def connect(self, place: Place) -> Connection:
        """A connection to write with, as all tasks and commands have it."""
        raise NotImplementedError

    def read(self, place: Place) -> Connection:
        """A connection that cannot write and sees one moment of the warehouse, without hindering who writes."""
        raise NotImplementedError

    # --- What is there

    def tables(self, connection: Connection) -> set[str]:
        """The names of the tables of the warehouse."""
        raise NotImplementedError

    def columns(self, connection: Connection, table: str) -> list[str]:
        """The columns of a table in order; none where there is no such table."""
        raise NotImplementedError

    def key(self, connection: Connection, table: str) -> list[str]:
        """The columns of its primary key in order; none where it has no key."""
        return []

    def indexes(self, connection: Connection, table: str) -> list[str]:
        """The names of its indexes apart from that of its primary key."""
        return []

    # --- Writing

    def prepare_schema(self, connection: Connection) -> None:
        """Make what has to be there before the first table."""

    def load(self, connection: Connection, table: str, columns: Sequence[str], values: Sequence[Iterable[Any]]) -> None:
        """Add rows to a raw table, given column by column; text, whole numbers and None."""
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"insert into {table} ({', '.join(columns)}) values ({marks})", zip(*values, strict=True)
        )

    def loaded(self, connection: Connection, rows: Mapping[str, int]) -> None:
        """So many rows have been added to each raw table: planners that count rows may want to know."""

    def published(self, place: Place, connection: Connection) -> None:
        """What people read has changed, or what is said of it."""

    def scrub(self, place: Place, connection: Connection) -> bool:
        """Overwrite what the database still holds of rows that are gone; False where a reader keeps it from that."""
        raise NotImplementedError

    # --- Beside the warehouse

    def aside(self, place: Place) -> AbstractContextManager[Aside]:
        """An empty database aside, gone afterwards, which can look at the tables of the one there."""
        raise NotImplementedError


class Translated:
    """A connection of a driver that has other marks for what is bound, or hands out results otherwise.

    Its cursors are made by `make_cursor`; outside of `begin` each statement stays by itself.
    """

    def __init__(self, raw: Any, make_cursor: Callable[[Any], Any]) -> None:
        self.raw = raw
        self._make_cursor = make_cursor

    def cursor(self) -> Any:
        return self._make_cursor(self.raw)

    def execute(self, statement: str, parameters: Parameters = ()) -> Any:
        return self.cursor().execute(statement, parameters)

    def executemany(self, statement: str, rows: Iterable[Parameters]) -> None:
        cursor = self.cursor()
        for row in rows:
            cursor.execute(statement, row)

    def close(self) -> None:
        self.raw.close()


_MARKS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|(?<![:\w]):([a-z_]\w*)|(\?)|(%)")


@lru_cache(maxsize=2048)
def translated(statement: str, named: str, numbered: str, percent: str) -> tuple[str, tuple[str, ...]]:
    """A statement with a driver's own marks for what is bound, and the names that it binds."""
    names: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match[1]:
            names.append(match[1])
            return named.format(match[1])
        if match[2]:
            return numbered
        return match[0].replace("%", percent)

    return _MARKS.sub(mark, statement), tuple(dict.fromkeys(names))
