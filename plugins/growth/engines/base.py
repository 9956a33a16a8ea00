"""The interface of an engine, and of its connections: statements bind values with ? or :name on all of them."""

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
    """A connection on which only `begin` opens a transaction, as on those of sqlite3."""

    def execute(self, statement: str, parameters: Parameters = ...) -> Any: ...
    def executemany(self, statement: str, rows: Iterable[Parameters]) -> Any: ...
    def cursor(self) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """A transaction, which must write before it reads: SQLite may refuse to turn a reader into a writer."""
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
    """A database engine."""

    name: ClassVar[str]
    is_file: ClassVar[bool] = True
    Error: ClassVar[type[Exception]]
    SYMPTOMS: ClassVar[Mapping[str, str]]
    """Text that identifies an error, and the end of the sentence about the warehouse that explains it."""
    READER_SYMPTOMS: ClassVar[Mapping[str, str]]
    """The same for people who only read, and may not know of files."""
    PASSING: ClassVar[tuple[str, ...]] = ()
    """Symptoms of errors that may have passed when a task is retried."""

    # --- Opening

    def describe(self, place: Place) -> str:
        """The place in words, without its secrets."""
        return place.host

    def shell(self, place: Place) -> str:
        """The shell command that takes a query as its last argument."""
        raise NotImplementedError

    def exists(self, place: Place) -> bool:
        """Whether there is a database at the place."""
        raise NotImplementedError

    def open(self, place: Place) -> Any:
        """A connection of the driver, opened by Airflow's hook where the place has one."""
        return place.hook() if place.hook else self._open(place)

    def _open(self, place: Place) -> Any:
        raise NotImplementedError

    def connect(self, place: Place) -> Connection:
        """A connection to write with, set up for tasks and commands."""
        raise NotImplementedError

    def read(self, place: Place) -> Connection:
        """A connection that cannot write, sees one snapshot of the warehouse, and does not block writers."""
        raise NotImplementedError

    # --- What is there

    def tables(self, connection: Connection) -> set[str]:
        """The names of the tables of the warehouse."""
        raise NotImplementedError

    def columns(self, connection: Connection, table: str) -> list[str]:
        """The columns of a table in order; empty where there is no such table."""
        raise NotImplementedError

    def key(self, connection: Connection, table: str) -> list[str]:
        """The columns of its primary key in order; empty where it has no key."""
        return []

    def indexes(self, connection: Connection, table: str) -> list[str]:
        """The names of its indexes, without that of its primary key."""
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

    def update_statistics(self, connection: Connection, rows: Mapping[str, int]) -> None:
        """Update the planner's statistics after so many rows have been added to each raw table."""

    def refresh_readers(self, place: Place, connection: Connection) -> None:
        """Show readers what has been published, or that a run has failed."""

    def scrub(self, place: Place, connection: Connection) -> bool:
        """Overwrite deleted rows in the database's files; False where a reader prevents it."""
        raise NotImplementedError

    # --- Beside the warehouse

    def aside(self, place: Place) -> AbstractContextManager[Aside]:
        """An empty database, deleted afterwards, whose connection can read the tables of the warehouse."""
        raise NotImplementedError


class Translated:
    """A connection of a driver whose parameter marks or cursors differ from sqlite3's.

    `make_cursor` makes its cursors. Outside of `begin` each statement is a transaction of its own.
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
    """A statement with the parameter marks of a driver, and the names that it binds."""
    names: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match[1]:
            names.append(match[1])
            return named.format(match[1])
        if match[2]:
            return numbered
        return match[0].replace("%", percent)

    return _MARKS.sub(mark, statement), tuple(dict.fromkeys(names))
