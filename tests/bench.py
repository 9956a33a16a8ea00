"""make bench: what the SQL of a first load and of a day costs, with 6 months of history and with 24.

Seconds are of one machine in one run: compare them with each other only. SCALE=1,10 measures several scales.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import segment_export
from rich.console import Console
from rich.table import Table
from worlds import Warehouse

from growth import warehouse as warehouse_module
from growth.sources.synthetic import Synthetic

SCALES = tuple(float(scale) for scale in (os.environ.get("SCALE") or "1").split(","))
DAYS = 5

KINDS = {
    "scope": re.compile(r"(insert or ignore into|delete from) (scope_|changed_)"),
    "ledger": re.compile(r"insert into restatements"),
}


class TimedCursor(sqlite3.Cursor):
    """Adds up the seconds of the statements of each kind."""

    seconds: ClassVar[Counter[str]] = Counter()

    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        started = time.perf_counter()
        super().execute(statement, *arguments)
        for kind, pattern in KINDS.items():
            if pattern.match(statement):
                self.seconds[kind] += time.perf_counter() - started
        return self


@contextmanager
def timed_statements() -> Iterator[Counter[str]]:
    """Seconds by kind of the scripts that run inside."""
    run_script = warehouse_module.run_script

    class Timed:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self.cursor = lambda: connection.cursor(TimedCursor)
            self.rollback = connection.rollback

    from growth import pipeline

    TimedCursor.seconds = Counter()
    pipeline.run_script = lambda connection, *rest: run_script(Timed(connection), *rest)
    try:
        yield TimedCursor.seconds
    finally:
        pipeline.run_script = run_script


def main() -> None:
    logging.disable(logging.WARNING)
    table = Table("scale", "months", "users", "events", "first load, s", "a day, s", "checks", "scope", "ledger")
    for scale in SCALES:
        a_day: dict[int, float] = {}
        for months, last in ((6, date(2025, 4, 30)), (24, date(2026, 10, 31))):
            with TemporaryDirectory() as folder:
                source = Synthetic(scale=scale)
                warehouse = Warehouse(Path(folder) / "warehouse.db", source)
                load = warehouse.run(source.first_day, last)
                with timed_statements() as kinds:
                    runs = [warehouse.run(last + timedelta(days=n)) for n in range(1, DAYS + 1)]
                a_day[months] = median(sum(r.values()) for r in runs)
                checks = sum(s for run in runs for task, s in run.items() if task.startswith("check_"))
                shares = [
                    part / sum(sum(r.values()) for r in runs) for part in (checks, kinds["scope"], kinds["ledger"])
                ]
                (users,), (events,) = (
                    warehouse.query(f"select count(*) from {t}")[0] for t in ("stg_users", "stg_events")
                )
                table.add_row(
                    f"{scale:g}",
                    str(months),
                    f"{users:,}",
                    f"{events:,}",
                    f"{sum(load.values()):.2f}",
                    f"{a_day[months]:.3f}",
                    *(f"{100 * share:.0f} %" for share in shares),
                )
                warehouse.connection.close()
        table.caption = f"a day with 24 months of history costs {a_day[24] / a_day[6]:.2f} times one with 6"
    Console(width=110, highlight=False).print(table)
    segment_export.bench()


if __name__ == "__main__":
    main()
