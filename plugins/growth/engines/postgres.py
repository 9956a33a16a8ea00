"""PostgreSQL: a schema in a server's database, with any number of readers and several workers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from psycopg import sql as names
from psycopg.adapt import Loader

from growth.engines.base import Aside, Connection, Engine, Parameters, Translated, translated
from growth.errors import UserError

if TYPE_CHECKING:
    from growth.engines import Place

SCHEMA = "saas_growth"
"""The schema of the tables, unless the connection's extra has {"options": "-c search_path=<schema>"}."""
WORK_SUFFIX = "_work"
"""The schema beside it holds what runs keep for themselves (include/sql/engines/postgres.sql)."""
STATEMENT_SECONDS = 3600
"""How long a statement may take, unless the connection's options say otherwise."""
READ_SECONDS = 60
CHECK_SECONDS = 10
WORK_MEMORY = "64MB"
"""Memory for a join or a sort, unless the server or the connection's options say otherwise."""
LARGE_SHARE = 0.1
"""The share of a table that may be added before its statistics are updated: runs do not wait for autovacuum."""

_OTHER_SHAPE = "and the SQL do not fit ({said}): correct the query that was edited, or restore the schema from a copy"


class _Number(Loader):
    """Sums of integers have the type numeric; they become int again."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


class Cursor:
    """A cursor of psycopg that takes ? and :name as parameter marks."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._cursor = raw.cursor()

    def execute(self, statement: str, parameters: Parameters = ()) -> Cursor:
        native, bound = translated(statement, "%({})s", "%s", "%%")
        if isinstance(parameters, Mapping):
            self._cursor.execute(native, {name: _storable(parameters[name]) for name in bound})
        else:
            self._cursor.execute(native, [_storable(value) for value in parameters])
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def fetchone(self) -> Any:
        return self._cursor.fetchone() if self.description else None

    def fetchmany(self, size: int) -> list[Any]:
        return self._cursor.fetchmany(size)

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall() if self.description else []

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def close(self) -> None:
        self._cursor.close()


class PostgresConnection(Translated):
    def commit(self) -> None:
        self.raw.commit()

    def rollback(self) -> None:
        self.raw.rollback()


class Postgres(Engine):
    name = "postgres"
    is_file = False
    Error = psycopg.Error
    SYMPTOMS: ClassVar = {
        "password authentication failed": "refuses the password of the connection: correct it",
        "no password supplied": "asks for a password: give the connection one",
        "connection failed": "cannot be reached ({said}): start the server, or correct the connection",
        "connection refused": "cannot be reached ({said}): start the server, or correct the connection",
        "connection timeout": "cannot be reached ({said}): start the server, or correct the connection",
        "connection is lost": "lost its server: find out why it ended, then run again",
        "server closed the connection": "lost its server: find out why it ended, then run again",
        "terminating connection": "lost its server: find out why it ended, then run again",
        "lock timeout": "stayed locked by another session for a minute: end that session, then run again",
        "statement timeout": "took longer than statement_timeout: raise it in the connection's options",
        "permission denied": "refuses its user ({said}): grant that, or name another user in the connection",
        "read-only transaction": "is read-only: name the server that may be written in the connection",
        "No space left": "has no room left on its disk: make room, then run again",
        "does not exist": _OTHER_SHAPE,
    }
    PASSING: ClassVar = (
        "connection failed",
        "connection refused",
        "connection timeout",
        "connection is lost",
        "server closed the connection",
        "terminating connection",
        "lock timeout",
        "deadlock detected",
    )
    READER_SYMPTOMS: ClassVar = SYMPTOMS | {
        "does not exist": "lacks tables that the definitions name ({said}): trigger the DAG saas_growth",
    }

    def describe(self, place: Place) -> str:
        return f"{place.schema or place.login} on {place.host or 'this machine'}"

    def shell(self, place: Place) -> str:
        said = {"host": place.host, "port": place.port, "user": place.login, "dbname": place.schema}
        options = place.extra.get("options", f"-c search_path={SCHEMA}")
        address = " ".join(f"{key}={value}" for key, value in said.items() if value)
        return f"""psql {shlex.quote(f"{address} options='{options}'")} -c"""

    def exists(self, place: Place) -> bool:
        return True

    def _open(self, place: Place) -> psycopg.Connection[Any]:
        said = {
            "host": place.host or None,
            "port": place.port,
            "user": place.login,
            "password": place.password,
            "dbname": place.schema or None,
        }
        return psycopg.connect(**{key: value for key, value in said.items() if value}, **place.extra)

    def connect(self, place: Place) -> Connection:
        raw = self.open(place)
        raw.autocommit = True
        # A prepared plan would refer to a temporary table that has been replaced since.
        raw.prepare_threshold = None
        raw.adapters.register_loader("numeric", _Number)
        connection = PostgresConnection(raw, Cursor)
        # Statements are many and long, not slow: compiling them takes longer than running them.
        connection.execute("set jit = off")
        # The server would notice that a worker was killed only when its statement ends, and keep its locks until then.
        connection.execute(
            "select set_config(name, ?, false) from pg_settings where name = 'client_connection_check_interval'",
            (f"{CHECK_SECONDS}s",),
        )
        # A first load joins in memory. With the default of 4 MB the planner prefers to look up each row.
        connection.execute(
            "select set_config('work_mem', ?, false) where current_setting('work_mem') = '4MB'", (WORK_MEMORY,)
        )
        (path,) = connection.execute("show search_path").fetchone()
        schema = SCHEMA if path == '"$user", public' else path.partition(",")[0].strip(' "')
        _search(connection, schema)
        connection.execute(
            "select set_config('statement_timeout', ?, false) where current_setting('statement_timeout') = '0'",
            (f"{STATEMENT_SECONDS}s",),
        )
        return connection

    def read(self, place: Place) -> Connection:
        connection = self.connect(place)
        connection.execute(f"set statement_timeout = '{READ_SECONDS}s'")
        connection.execute("begin isolation level repeatable read read only")
        return connection

    def tables(self, connection: Connection) -> set[str]:
        query = "select tablename from pg_tables where schemaname in (current_schema(), current_schema() || ?)"
        return {name for (name,) in connection.execute(query, (WORK_SUFFIX,))}

    def columns(self, connection: Connection, table: str) -> list[str]:
        query = (
            "select column_name from information_schema.columns"
            " where table_schema in (current_schema(), current_schema() || ?) and table_name = ?"
            " order by ordinal_position"
        )
        return [name for (name,) in connection.execute(query, (WORK_SUFFIX, table))]

    def key(self, connection: Connection, table: str) -> list[str]:
        query = (
            "select a.attname from pg_index as i"
            " cross join unnest(i.indkey) with ordinality as k (number, place)"
            " inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.number"
            " where i.indrelid = to_regclass(?) and i.indisprimary order by k.place"
        )
        return [name for (name,) in connection.execute(query, (table,))]

    def indexes(self, connection: Connection, table: str) -> list[str]:
        query = (
            "select c.relname from pg_index as i inner join pg_class as c on i.indexrelid = c.oid"
            " where i.indrelid = to_regclass(?) and not i.indisprimary"
        )
        return [name for (name,) in connection.execute(query, (table,))]

    def prepare_schema(self, connection: Connection) -> None:
        schema = self._schema(connection)
        for name in (schema, schema + WORK_SUFFIX):
            if not connection.execute("select 1 from pg_namespace where nspname = ?", (name,)).fetchone():
                connection.raw.execute(names.SQL("create schema if not exists {}").format(names.Identifier(name)))

    def _schema(self, connection: Connection) -> str:
        """The schema of the connection, whether it exists or not."""
        (path,) = connection.execute("show search_path").fetchone()
        return path.partition(",")[0].strip(' "')

    def load(self, connection: Connection, table: str, columns: Sequence[str], values: Sequence[Iterable[Any]]) -> None:
        statement = names.SQL("copy {} ({}) from stdin").format(
            names.Identifier(table), names.SQL(", ").join(map(names.Identifier, columns))
        )
        with connection.raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in zip(*values, strict=True):
                copy.write_row([_storable(value) for value in row])

    def update_statistics(self, connection: Connection, rows: Mapping[str, int]) -> None:
        for table, added in rows.items():
            (known,) = connection.execute(
                "select reltuples from pg_class where oid = cast(? as regclass)", (table,)
            ).fetchone()
            if added > LARGE_SHARE * known:
                connection.execute(f"analyze {table}")
        # Without statistics the planner assumes hundreds of rows in these small tables, and multiplies by that.
        connection.execute("analyze run_state, raw_batches, calendar_months")

    def scrub(self, place: Place, connection: Connection) -> bool:
        """Rewrite all tables without their dead rows. The server's write-ahead log and replicas are out of reach."""
        connection.execute("set lock_timeout = '60s'")
        try:
            for table in sorted(self.tables(connection)):
                connection.execute(f"vacuum (full, analyze) {table}")
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    @contextmanager
    def aside(self, place: Place) -> Iterator[Aside]:
        with closing(self.connect(place)) as target:
            schema = self._schema(target)
            aside = f"{schema}_aside"
            (is_free,) = target.execute("select pg_try_advisory_lock(hashtext(?))", (aside,)).fetchone()
            if not is_free:
                raise UserError(f"Another process works in the schema {aside}: let it end first.")
            drop = names.SQL("drop schema if exists {}, {} cascade").format(
                names.Identifier(aside), names.Identifier(aside + WORK_SUFFIX)
            )
            # Left by a comparison that was killed.
            target.raw.execute(drop)
            _search(target, aside)

            def name_of(table: str) -> str:
                home = schema + WORK_SUFFIX if table.startswith("work_") else schema
                return f"{names.Identifier(home).as_string(target.raw)}.{table}"

            try:
                yield Aside(target, lambda: nullcontext(name_of))
            finally:
                target.rollback()
                target.raw.execute(drop)


def _search(connection: Connection, schema: str) -> None:
    """Let names without a schema mean the tables of the warehouse, and those that runs keep for themselves."""
    path = names.SQL("set search_path to {}, {}").format(
        names.Identifier(schema), names.Identifier(schema + WORK_SUFFIX)
    )
    connection.raw.execute(path)


def _storable(value: Any) -> Any:
    """PostgreSQL cannot store the character NUL: the replacement character takes its place."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value


ENGINE = Postgres()
