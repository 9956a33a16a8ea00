"""make bench: what the SQL of a first load and of a day costs, with 6 months of history and with 24.

Seconds are of one machine in one run: compare them with each other only.
"""

from __future__ import annotations

import logging
import os
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from worlds import Warehouse

from growth.sources.synthetic import Synthetic

SCALES = tuple(float(scale) for scale in os.environ.get("SCALE", "1").split(","))
DAYS = 5


def main() -> None:
    logging.disable(logging.WARNING)
    table = Table("scale", "months", "users", "events", "first load, s", "a day, s", "of it checks", "publish and ledger")
    for scale in SCALES:
        a_day: dict[int, float] = {}
        for months, last in ((6, date(2025, 4, 30)), (24, date(2026, 10, 31))):
            with TemporaryDirectory() as folder:
                source = Synthetic(scale=scale)
                warehouse = Warehouse(Path(folder) / "warehouse.db", source)
                load = warehouse.run(source.first_day, last)
                runs = [warehouse.run(last + timedelta(days=n)) for n in range(1, DAYS + 1)]
                a_day[months] = median(sum(r.values()) for r in runs)
                (users,), (events,) = (
                    warehouse.query(f"select count(*) from {t}")[0] for t in ("stg_users", "stg_events")
                )
                parts = [
                    median(sum(s for task, s in run.items() if task.startswith(of)) for run in runs)
                    for of in ("check_", "publish")
                ]
                table.add_row(
                    f"{scale:g}",
                    str(months),
                    f"{users:,}",
                    f"{events:,}",
                    f"{sum(load.values()):.2f}",
                    *(f"{x:.3f}" for x in (a_day[months], *parts)),
                )
                warehouse.connection.close()
        table.caption = f"a day with 24 months of history costs {a_day[24] / a_day[6]:.2f} times one with 6"
    Console(width=110, highlight=False).print(table)


if __name__ == "__main__":
    main()
