"""make bench: what the SQL of a first load and of a day costs, with 6 months of history and with 24.

    SCALE=1,10        scales of the invented company; 100 is a million users
    MONTHS=6,24       lengths of the history
    ENGINES=sqlite,duckdb,postgres
    EXPORT=1          instead: what it takes to land an export of Segment

Seconds are of one machine in one run: compare them with each other only. Both histories end with the same days, of the
same company with the same rows; what the shorter one lacks is the events before it, and who was not seen since.
On SQLite the yardstick runs beside, a plain script that recomputes whatever months a day touches. SQLite does not wait
for the disk here, nor does a PostgreSQL that is set up as .ci/run does it; SAAS_GROWTH_TEST_POSTGRES names its server.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import pandas as pd
import segment_export
from rich.console import Console
from rich.table import Table
from worlds import Warehouse, fresh_place
from yardstick import Yardstick

from growth.engines import Place
from growth.language.tables import LAYERS, tables_of
from growth.sources.contract import Source
from growth.sources.synthetic.rows import Synthetic

LAST_DAY = date(2026, 10, 31)
"""Of the first load."""
DAYS = 5
"""Measured one by one after it."""

PARTS = ("landing", *LAYERS, "checks", "publish")
PART_OF = {
    "generate": "landing",
    "publish": "publish",
    **{table: layer for layer in LAYERS for table in tables_of(layer)},
    **{f"check_{layer}": "checks" for layer in LAYERS},
}


class Recent(Source):
    """The last months of the invented company. The first batch brings the users and subscriptions from before, as far
    as they are heard of again."""

    last_day = None

    def __init__(self, scale: float, months: int) -> None:
        self._company = Synthetic(scale=scale)
        years, month = divmod(LAST_DAY.month - months, 12)
        self.first_day = max(date(LAST_DAY.year + years, month + 1, 1), self._company.first_day)
        self.name = f"{self._company.name}, its last {months} months"

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        if first == self.first_day > self._company.first_day:
            yield self._earlier()
        yield from self._company.pieces(first, last)

    def _earlier(self) -> dict[str, pd.DataFrame]:
        heard_of: set[str] = set()
        for piece in self._company.pieces(self.first_day, LAST_DAY + timedelta(days=DAYS)):
            for frame in piece.values():
                heard_of |= set(frame["user_id"])
        parts: dict[str, list[pd.DataFrame]] = {"raw_users": [], "raw_subscriptions": []}
        for piece in self._company.pieces(self._company.first_day, self.first_day - timedelta(days=1)):
            for table, frames in parts.items():
                frames.append(piece[table][piece[table]["user_id"].isin(heard_of)])
        earlier = {}
        for table, frames in parts.items():
            frame = pd.concat(frames)
            earlier[table] = frame.assign(
                batch_date=f"{self.first_day}", source_file="earlier", source_row=range(1, len(frame) + 1)
            )
        return earlier


@dataclass
class Measured:
    """Seconds of SQL by part, and rows."""

    load: Mapping[str, float]
    day: Mapping[str, float]
    """Of the days the medians; `landing` is not in `all`."""
    counts: dict[str, int]
    yardstick: tuple[float, float] | None
    """Of the load and of a day."""


def by_part(seconds: Mapping[str, float]) -> dict[str, float]:
    parts: Counter[str] = Counter()
    for task, s in seconds.items():
        parts[PART_OF[task]] += s
    return {**parts, "all": sum(parts.values()) - parts["landing"]}


def measure(place: Place, scale: float, months: int) -> Measured:
    source = Recent(scale, months)
    warehouse = Warehouse(place, source)
    yardstick = Yardstick(place.path.with_name("yardstick.db"), place.path) if place.kind == "sqlite" else None
    load = by_part(warehouse.run(source.first_day, LAST_DAY))
    script = [yardstick.run(source.first_day, LAST_DAY)] if yardstick else []
    days = []
    for n in range(1, DAYS + 1):
        day = LAST_DAY + timedelta(days=n)
        days.append(by_part(warehouse.run(day)))
        if yardstick:
            script.append(yardstick.run(day))
    counts = {
        "users": warehouse.query("select count(*) from stg_users")[0][0],
        "events": warehouse.query("select count(*) from stg_events")[0][0],
        "a day": warehouse.query(
            "select sum(rows_landed) from raw_batches where batch_date = ?", f"{LAST_DAY + timedelta(days=DAYS)}"
        )[0][0],
        "written": warehouse.query(
            "select sum(rows_removed + rows_written) from run_steps where run_id = ?", f"run {warehouse.runs}"
        )[0][0],
    }
    warehouse.close()
    return Measured(
        load,
        {part: median(day.get(part, 0) for day in days) for part in (*PARTS, "all")},
        counts,
        (script[0], median(script[1:])) if yardstick else None,
    )


def show(engine: str, scale: float, found: Mapping[int, Measured]) -> Table:
    columns = [f"{what}, {months} months" for months in found for what in ("load", "a day")]
    table = Table("seconds of SQL", *columns, title=f"{engine}, scale {scale:g}")
    for part in (*PARTS, "all"):
        cells = [f"{s:.3f}" for m in found.values() for s in (m.load.get(part, 0), m.day[part])]
        table.add_row("all but landing" if part == "all" else part, *cells, end_section=part in ("publish", "all"))
    for label, name in (("users", "users"), ("events", "events")):
        table.add_row(label, *(cell for m in found.values() for cell in (f"{m.counts[name]:,}", "")))
    table.add_row("rows that arrive", *(cell for m in found.values() for cell in ("", f"{m.counts['a day']:,}")))
    table.add_row("rows removed, written", *(cell for m in found.values() for cell in ("", f"{m.counts['written']:,}")))
    if all(m.yardstick for m in found.values()):
        cells = [f"{s:.3f}" for m in found.values() for s in m.yardstick or ()]
        table.add_row("the yardstick", *cells)
    longest, shortest = found[max(found)], found[min(found)]
    said = [
        f"a day with {max(found)} months of history costs {longest.day['all'] / shortest.day['all']:.2f} times one with"
        f" {min(found)}"
    ]
    if longest.yardstick:
        models = sum(longest.day[layer] for layer in LAYERS)
        said.append(
            f"the yardstick takes {longest.yardstick[1] / longest.day['all']:.1f} times as long for its day,"
            f" {longest.yardstick[1] / models:.1f} times as long as the models without checks and publish"
        )
    table.caption = "; ".join(said)
    return table


def main() -> None:
    if os.environ.get("EXPORT"):
        segment_export.bench()
        return
    logging.disable(logging.WARNING)
    console = Console(width=110, highlight=False)
    folder = os.environ.get("BENCH_FOLDER")
    months = [int(m) for m in (os.environ.get("MONTHS") or "6,24").split(",")]
    for engine in (os.environ.get("ENGINES") or "sqlite").split(","):
        for scale in map(float, (os.environ.get("SCALE") or "1").split(",")):
            found = {}
            for length in months:
                with fresh_place(engine, folder and Path(folder)) as place:
                    found[length] = measure(place, scale, length)
            console.print(show(engine, scale, found))


if __name__ == "__main__":
    main()
