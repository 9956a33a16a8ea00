"""SQLite: a file with one writer at a time, for which others wait, and readers that are never blocked."""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from growth.engines.base import Aside, Connection, Engine

if TYPE_CHECKING:
    from growth.engines import Place

# Tasks of one run write at the same time, and may write for longer than the driver's five seconds.
BUSY_SECONDS = 60
# How long an erasure waits for readers to end, so that it can overwrite deleted rows in the write-ahead log.
READERS_SECONDS = 60
# The rows of a day's users are spread over large tables: with SQLite's 2 MB of cache, each statement of a task reads
# the same pages again. Memory is taken as pages are read.
CACHE_KB = 512 * 1024

_OTHER_SHAPE = "and the SQL do not fit ({said}): correct the query that was edited, or restore a copy of the warehouse"


class Sqlite(Engine):
    name = "sqlite"
    Error = sqlite3.DatabaseError
    SYMPTOMS: ClassVar = {
        "file is not a database": "is not a SQLite database: name another file or move this one away",
        "disk image is malformed": "is a damaged SQLite database: restore a copy of it",
        "malformed database schema": "is a damaged SQLite database: restore a copy of it",
        "readonly": "is read-only: make the file and its folder writable",
        "unable to open": "cannot be opened: make its folder, and make it writable",
        "locked": "stayed locked by another process for a minute: end that process, then run again",
        "disk is full": "has no room left on its disk: make room, then run again",
        "disk I/O": "cannot be written, the disk gave an error: check the disk, then run again",
        "no such ": _OTHER_SHAPE,
        "has no column": _OTHER_SHAPE,
    }
    PASSING: ClassVar = ("locked",)
    READER_SYMPTOMS: ClassVar = {
        "unable to open": "is not there yet, or not visible to the API server: trigger the DAG saas_growth,"
        " and check the path in the connection",
        "not a database": "is not a SQLite database: name another file in the connection",
        "malformed": "is damaged: restore a copy of it",
        "no such ": "lacks tables that the definitions name ({said}): trigger the DAG saas_growth",
        "locked": "is locked by another process: try again in a minute",
        "readonly": "cannot be read without writing beside it: make its folder writable for the API server",
    }

    def shell(self, place: Place) -> str:
        return f"sqlite3 {shlex.quote(place.host)}"

    def exists(self, place: Place) -> bool:
        return place.path.is_file() and place.path.stat().st_size > 0

    def _open(self, place: Place) -> sqlite3.Connection:
        # As a URI, so that other files can be attached by a URI.
        return sqlite3.connect(f"file:{quote(str(place.path))}", uri=True, timeout=BUSY_SECONDS)

    def connect(self, place: Place) -> sqlite3.Connection:
        connection = self.open(place)
        try:
            connection.isolation_level = None
            connection.execute(f"pragma busy_timeout = {BUSY_SECONDS * 1000}")
            # The first access to the file: a damaged one must not stay open.
            connection.execute(f"pragma cache_size = -{CACHE_KB}")
        except BaseException:
            connection.close()
            raise
        return connection

    def read(self, place: Place) -> sqlite3.Connection:
        # Rows are streamed by different threads, one at a time.
        connection = sqlite3.connect(
            f"file:{quote(str(place.path))}?mode=ro",
            uri=True,
            timeout=5,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("pragma query_only = on")
        # From its first read on, the transaction sees one snapshot, whatever a run publishes meanwhile.
        connection.execute("begin")
        return connection

    def tables(self, connection: Connection) -> set[str]:
        return {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}

    def columns(self, connection: Connection, table: str) -> list[str]:
        return [row[1] for row in connection.execute(f"pragma table_info({table})")]

    def key(self, connection: Connection, table: str) -> list[str]:
        places = {row[5]: row[1] for row in connection.execute(f"pragma table_info({table})") if row[5]}
        return [places[number] for number in sorted(places)]

    def indexes(self, connection: Connection, table: str) -> list[str]:
        return [row[1] for row in connection.execute(f"pragma index_list({table})") if row[3] == "c"]

    def prepare_schema(self, connection: Connection) -> None:
        connection.execute("pragma journal_mode = wal")

    def scrub(self, place: Place, connection: Connection) -> bool:
        connection.execute("vacuum")
        deadline = time.monotonic() + READERS_SECONDS
        while connection.execute("pragma wal_checkpoint(truncate)").fetchone()[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    @contextmanager
    def aside(self, place: Place) -> Iterator[Aside]:
        # Beside the warehouse, where there is room: a folder for temporary files may be memory.
        with TemporaryDirectory(dir=place.path.absolute().parent, prefix=".verify-") as folder:
            path = Path(folder) / "rebuilt.db"
            with closing(self.connect(place._replace(host=str(path), hook=None))) as target:

                @contextmanager
                def looking() -> Iterator[Callable[[str], str]]:
                    # Attached only while it is read: a transaction that writes locks all attached databases.
                    target.execute("attach ? as warehouse", (f"{place.path.absolute().as_uri()}?mode=ro",))
                    yield "warehouse.{}".format
                    target.execute("detach warehouse")

                yield Aside(target, looking)


ENGINE = Sqlite()
