"""Small worlds for tests: batches given by hand, run on a database file without Airflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pandas as pd
import yaml
from parts import need

from growth.days import Days
from growth.engines import Connection, Place
from growth.language import definitions
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.language.sql import Sql
from growth.sources.contract import Source
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse import pipeline, verify

ENGINES = ("sqlite", "duckdb", "postgres")

Rows = Mapping[str, Iterable[Mapping[str, Any]]]


@cache
def default_sql(engine: str = "sqlite") -> Sql:
    return Sql(definitions.load(), engine)


@cache
def on_engine(sql: Sql, engine: str) -> Sql:
    """The same statements for another engine."""
    return sql if sql.engine.name == engine else type(sql)(sql.definitions, engine)


def changed_definitions(**changes: Any) -> definitions.Definitions:
    """The shipped definitions with some of the words replaced."""
    content = yaml.safe_load(definitions.PATH.read_text(encoding="utf-8"))
    return definitions.Definitions.model_validate(content | changes)


def sqlite_place(path: Path | str) -> Place:
    return Place("sqlite", str(path))


@contextmanager
def fresh_place(engine: str, folder: Path | None = None) -> Iterator[Place]:
    """A place for a warehouse of an engine. It is removed afterwards."""
    if engine == "postgres":
        place = _schema()
        try:
            yield place
        finally:
            with closing(place.engine.connect(place)) as connection:
                (schema,) = connection.execute("show search_path").fetchone()
                connection.execute(f'drop schema if exists "{schema}" cascade')
    else:
        with TemporaryDirectory(dir=folder) as inner:
            yield Place(engine, str(Path(inner) / f"warehouse.{'db' if engine == 'sqlite' else engine}"))


def _schema() -> Place:
    """A new schema on the PostgreSQL server of the tests."""
    url = urlsplit(need("PostgreSQL"))
    # No row of a test has to survive a power cut.
    options = f"-c search_path=test_{uuid4().hex[:12]} -c synchronous_commit=off"
    database = url.path.strip("/") or "postgres"
    return Place("postgres", url.hostname or "", url.port, url.username, url.password, database, {"options": options})


# --- The tables of the run itself: every test reaches them by these functions


def end_lease(connection: Any) -> None:
    """As the next run's claim does, when Airflow reports that the run with the lease has ended."""
    connection.execute("delete from work_lease")
    connection.commit()


def days_of_tables(connection: Any) -> tuple[str | None, str | None]:
    """The as-of day of the next publish, and of what has been published."""
    (days,) = connection.execute("select as_of_date, published_date from run_state").fetchall()
    return days


def batches_in_scope(connection: Any) -> list[tuple[Any, ...]]:
    return connection.execute("select * from work_scope_batches").fetchall()


def not_accounted_for(connection: Any) -> list[tuple[Any, ...]]:
    """Batches in which a landed row is neither staged nor a duplicate nor rejected, or of which a number is missing."""
    columns = "table_name, batch_date, rows_landed, rows_staged, rows_duplicate, rows_rejected"
    accounts = connection.execute(f"select {columns} from batch_accounting").fetchall()
    assert accounts
    return [a for a in accounts if None in a or a[2] != sum(a[3:])]


def tasks_that_wrote(connection: Any) -> list[tuple[str, str]]:
    """Run and task wherever a task has removed or written a row."""
    return connection.execute(
        "select run_id, task_id from run_steps where rows_removed + rows_written > 0 order by 1, 2"
    ).fetchall()


class Batches(Source):
    """A source whose batches are given: for each day the rows of each raw table that arrived on it.

    A row may name its `source_file`.
    """

    name = "batches of a test"
    last_day = None

    def __init__(self, batches: Mapping[date, Rows] | None = None) -> None:
        self.batches: dict[date, Rows] = dict(batches or {})

    @property
    def first_day(self) -> date:
        return min(self.batches)

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        frames = {}
        for table, columns in RAW_COLUMNS.items():
            rows = []
            for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
                numbers = Counter[str]()
                for row in self.batches.get(day, {}).get(table, ()):
                    unknown = set(row) - {"source_file", *columns}
                    assert not unknown, f"{table} has no {unknown}"
                    file = row.get("source_file", "test")
                    numbers[file] += 1
                    rows.append((day.isoformat(), file, numbers[file], *(row.get(c) for c in columns)))
            frames[table] = pd.DataFrame(rows, columns=[*ARRIVAL_COLUMNS, *columns], dtype=object)
        yield frames


class WithDevices(Synthetic):
    """The synthetic company, with a device for each user (some are shared) and with users who have two ids."""

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        for piece in super().pieces(first, last):
            users = piece["raw_users"].drop_duplicates("user_id")
            place = {c: users[c] for c in ARRIVAL_COLUMNS}
            links = pd.DataFrame(place | dict.fromkeys(RAW_COLUMNS["raw_links"]), dtype=object)
            links["link_id"], links["user_id"] = users["user_id"], users["user_id"]
            links["linked_at"] = users["batch_date"]
            links["anonymous_id"] = [f"device {n // 3} of {day:.7}" for n, day in enumerate(users["batch_date"])]
            links.loc[links.index[::5], "other_user_id"] = "former " + links["user_id"]
            yield piece | {"raw_links": links}


class ReadOnce(Source):
    """A source that reads all batches of another one at once: files without a day in their names are otherwise read
    whole for each run."""

    def __init__(self, source: Any) -> None:
        self.name, self.first_day, self.last_day = source.name, source.first_day, source.last_day
        pieces = list(source.pieces(self.first_day, self.last_day))
        self._frames = {
            table: pd.concat([piece[table] for piece in pieces if table in piece]).sort_values(
                ["batch_date", "source_file", "source_row"]
            )
            for table in RAW_COLUMNS
            if any(table in piece for piece in pieces)
        }

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        days = [f"{first}", f"{last + timedelta(days=1)}"]
        yield {t: f.iloc[slice(*f["batch_date"].searchsorted(days))] for t, f in self._frames.items()}


class Warehouse:
    """A warehouse of any engine and the source that fills it. A path means a file of SQLite."""

    def __init__(self, place: Place | Path, source: Any, sql: Sql | None = None) -> None:
        self.place = place if isinstance(place, Place) else sqlite_place(place)
        self.source = source
        self.sql = sql or default_sql(self.place.kind)
        self.runs = 0
        self._connection: Connection | None = None

    @property
    def path(self) -> Path:
        return self.place.path

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    @connection.setter
    def connection(self, connection: Connection) -> None:
        self._connection = connection

    def connect(self) -> Connection:
        connection = self.place.engine.connect(self.place)
        if self.place.kind == "sqlite":
            connection.execute("pragma synchronous = off")
        return connection

    def close(self) -> None:
        """Close the connection. The next query opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, first: date, last: date | None = None, **options: Any) -> dict[str, float]:
        """Run the days from first to last. Returns the seconds of SQL by task."""
        self.runs += 1
        days = Days(first, last or first)
        return pipeline.run(self.connection, self.sql, self.source, days, f"run {self.runs}", **options)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """The result as dicts by column name."""
        cursor = self.connection.execute(sql, parameters)
        names = [c[0] for c in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def differences_from_rebuild(self) -> list[str]:
        """The cells, of all layers, that a rebuild from the raw tables would fill differently."""
        self.close()
        return [str(d) for d in verify.verify(self.place, self.sql).differences]

    def differences_from(self, other: Warehouse, within: float = 0.0) -> list[str]:
        found = verify.differences(self.connection, other.connection, self.sql.tables.values(), within=within)
        return [str(d) for d in found]
