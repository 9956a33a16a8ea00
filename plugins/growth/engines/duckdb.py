"""DuckDB: a file that one process at a time may open for writing, and no other process meanwhile.

Writers wait for one another. Readers open a copy of the file, which each publish replaces.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from growth.engines.base import Aside, Connection, Engine, Parameters, Translated, translated

if TYPE_CHECKING:
    from growth.engines import Place

# A task may have to wait for another one of its run that loads millions of rows.
BUSY_SECONDS = 1800
READERS_SECONDS = 5

WORK_SCHEMA = "growth_work"
"""Where runs keep what is their own (include/sql/engines/duckdb.sql)."""

_LOCKED = "set lock on file"
_OTHER_SHAPE = "and the SQL do not fit ({said}): correct the query that was edited, or restore a copy of the warehouse"


class Cursor:
    """A result that survives the next statement of its connection: DuckDB keeps one result at a time."""

    rowcount = -1

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        self._raw = raw
        self.description: Any = None
        self._rows: Iterator[Any] = iter(())

    def execute(self, statement: str, parameters: Parameters = ()) -> Cursor:
        native, names = translated(statement, "${}", "?", "%")
        if isinstance(parameters, dict):
            # DuckDB refuses parameters that a statement does not bind.
            self._raw.execute(native, {name: parameters[name] for name in names})
        else:
            self._raw.execute(native, list(parameters))
        self.description = self._raw.description
        self._rows = iter(self._raw.fetchall() if self.description else ())
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int) -> list[Any]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def close(self) -> None:
        pass


class DuckConnection(Translated):
    def __init__(self, opener: Callable[[], duckdb.DuckDBPyConnection], seconds: float) -> None:
        self._opener = opener
        super().__init__(_patiently(opener, seconds), Cursor)

    def commit(self) -> None:
        self._end(self.raw.commit)

    def rollback(self) -> None:
        self._end(self.raw.rollback)

    def _end(self, how: Callable[[], Any]) -> None:
        try:
            how()
        except duckdb.TransactionException as error:
            if "no transaction is active" not in str(error):
                raise

    def reopen(self) -> None:
        self.raw = self._opener()


def _patiently(opener: Callable[[], Any], seconds: float) -> Any:
    """Open a file, waiting until no other process has it open."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return opener()
        except duckdb.IOException as error:
            if _LOCKED not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


class DuckDB(Engine):
    name = "duckdb"
    Error = duckdb.Error
    SYMPTOMS: ClassVar = {
        _LOCKED: "stayed open in another process: end that process, and let readers open the copy for them",
        "not a valid DuckDB database": "is not a DuckDB database: name another file or move this one away",
        "Corrupt": "is a damaged DuckDB database: restore a copy of it",
        "Permission denied": "cannot be opened or written: make the file and its folder writable",
        "read-only": "is read-only: make the file and its folder writable",
        "Cannot open file": "cannot be opened: make its folder, and make it writable",
        "No space left": "has no room left on its disk: make room, then run again",
        "does not exist": _OTHER_SHAPE,
        "not found in FROM clause": _OTHER_SHAPE,
        "Out of Memory": "needs more memory than DuckDB may take: raise memory_limit in the connection's extra",
    }
    PASSING: ClassVar = (_LOCKED,)
    READER_SYMPTOMS: ClassVar = {
        "does not exist": "is not there yet, or not visible to the API server: trigger the DAG saas_growth,"
        " and check the path in the connection",
        "not a valid DuckDB database": "is not a DuckDB database: name another file in the connection",
        "Corrupt": "is damaged: restore a copy of it",
        "not found in FROM clause": "lacks columns that the definitions name: trigger the DAG saas_growth",
        _LOCKED: "is open in another process: try again in a minute",
    }

    def shell(self, place: Place) -> str:
        return f"duckdb -readonly {shlex.quote(str(readers_copy(place.path)))}"

    def exists(self, place: Place) -> bool:
        return place.path.is_file()

    def _open(self, place: Place) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(place.path))

    def connect(self, place: Place) -> Connection:
        def opener() -> duckdb.DuckDBPyConnection:
            raw = self.open(place)
            _find_work_tables(raw, "")
            return raw

        return DuckConnection(opener, BUSY_SECONDS)

    def read(self, place: Place) -> Connection:
        copy = _quoted(readers_copy(place.path))

        def opener() -> duckdb.DuckDBPyConnection:
            # Attached, not opened by path: DuckDB would return an older copy that this process has open by that path.
            raw = duckdb.connect()
            try:
                raw.execute(f"attach {copy} as warehouse (read_only)")
                raw.execute("use warehouse")
                _find_work_tables(raw, "warehouse.")
            except BaseException:
                raw.close()
                raise
            return raw

        connection = DuckConnection(opener, READERS_SECONDS)
        connection.execute("begin transaction read only")
        return connection

    def tables(self, connection: Connection) -> set[str]:
        query = "select table_name from duckdb_tables() where database_name = current_database()"
        return {name for (name,) in connection.execute(query)}

    def columns(self, connection: Connection, table: str) -> list[str]:
        query = (
            "select column_name from duckdb_columns()"
            " where database_name = current_database() and table_name = ? order by column_index"
        )
        return [name for (name,) in connection.execute(query, (table,))]

    def prepare_schema(self, connection: Connection) -> None:
        connection.execute(f"create schema if not exists {WORK_SCHEMA}")
        _find_work_tables(connection.raw, "")

    def load(self, connection: Connection, table: str, columns: Sequence[str], values: Sequence[Iterable[Any]]) -> None:
        import pyarrow

        arrived = pyarrow.table({c: pyarrow.array(list(given)) for c, given in zip(columns, values, strict=True)})
        connection.raw.register("arrived", arrived)
        names = ", ".join(columns)
        connection.execute(f"insert into {table} ({names}) select {names} from arrived")
        connection.raw.unregister("arrived")

    def refresh_readers(self, place: Place, connection: Connection) -> None:
        """Replace the readers' copy atomically: readers that have the old one open go on reading it."""
        connection.execute("checkpoint")
        copy = readers_copy(place.path)
        new = copy.with_name(copy.name + ".new")
        # By another process: closing the file in this one would release DuckDB's lock on it.
        code = "import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])"
        subprocess.run([sys.executable, "-I", "-S", "-c", code, str(place.path), str(new)], check=True)
        os.replace(new, copy)

    def scrub(self, place: Place, connection: Connection) -> bool:
        """DuckDB does not overwrite free blocks, so the remaining rows are copied into a new file."""
        new = place.path.with_name(place.path.name + ".new")
        new.unlink(missing_ok=True)
        (name,) = connection.execute("select current_database()").fetchone()
        connection.execute(f"attach {_quoted(new)} as scrubbed")
        connection.execute(f'copy from database "{name}" to scrubbed')
        connection.execute("detach scrubbed")
        connection.close()
        os.replace(new, place.path)
        connection.reopen()
        self.refresh_readers(place, connection)
        return True

    @contextmanager
    def aside(self, place: Place) -> Iterator[Aside]:
        with TemporaryDirectory(dir=place.path.absolute().parent, prefix=".verify-") as folder:
            path = Path(folder) / "rebuilt.duckdb"
            with closing(self.connect(place._replace(host=str(path), hook=None))) as target:

                @contextmanager
                def looking() -> Iterator[Callable[[str], str]]:
                    # Attached only while it is read: writers have to wait.
                    attach = f"attach {_quoted(place.path.absolute())} as warehouse (read_only)"
                    _patiently(lambda: target.execute(attach), BUSY_SECONDS)
                    yield lambda table: f"warehouse.{WORK_SCHEMA if table.startswith('work_') else 'main'}.{table}"
                    target.execute("detach warehouse")

                yield Aside(target, looking)


def _find_work_tables(raw: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Let names without a schema mean the tables that runs keep for themselves, too."""
    query = "select 1 from duckdb_schemas() where database_name = current_database() and schema_name = ?"
    if raw.execute(query, [WORK_SCHEMA]).fetchone():
        raw.execute(f"set search_path = '{catalog}main,{catalog}{WORK_SCHEMA}'")


def readers_copy(path: Path) -> Path:
    """The file that people and the growth page read, beside the one that runs write."""
    return path.with_name(f"{path.stem}.readers{path.suffix}")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


ENGINE = DuckDB()
