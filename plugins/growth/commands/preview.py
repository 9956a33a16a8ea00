"""make preview: what a source would land, shown on a sample. It writes nothing but a database in memory.

Plain text of at most 100 columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from growth import emails
from growth.commands.summary import GAP, WIDTH, table
from growth.days import Days
from growth.errors import UserError
from growth.language import definitions
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED
from growth.language.sql import Sql
from growth.sources import open_source
from growth.sources.contract import Sample, Source
from growth.warehouse.landing import land
from growth.warehouse.schema import prepare

if TYPE_CHECKING:
    import pandas as pd

ROWS = 20_000
"""So many rows of each kind of file are read."""
FILES = 12
NAMES = 40
LONGEST_SPAN = timedelta(days=36_500)

# What tells the rows of a table apart, so that three of them are not three times the same.
KINDS = {"raw_events": "event_type", "raw_subscriptions": "status"}


def preview(environment: Mapping[str, str]) -> int:
    """Print what the source of the environment would land. Raises UserError."""
    sample = SampledSource(open_source(environment))
    protect = emails.chosen(environment)
    words = definitions.load()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        sql = Sql(words)
        prepare(connection, sql)
        land(connection, sql, sample, sample.days, {"dag_id": "preview", "run_id": "preview"}, protect=protect)
        lines = _page(connection, sql, sample, words.quality.max_rejected_rate)
    print("\n".join(line[:WIDTH].rstrip() for line in lines))
    return 0


class SampledSource(Source):
    """A sample of a source, as a source."""

    last_day = None

    def __init__(self, source: Source) -> None:
        self.name = source.name
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        self.samples = source.sample(ROWS, yesterday)
        self._pieces = [piece for each in self.samples for piece in each.pieces]
        days = {day for piece in self._pieces for table in RAW_COLUMNS for day in _days(piece, table)}
        days |= {day for piece in self._pieces for day in _days(piece, UNMAPPED)}
        if not days:
            raise UserError(f"The source {source.name} gave no row that its mapping lets through: deliver some.")
        self.first_day, self.latest_day = date.fromisoformat(min(days)), date.fromisoformat(max(days))
        if self.latest_day - self.first_day > LONGEST_SPAN:
            raise UserError(
                f"The rows of {source.name} arrived from {self.first_day} to {self.latest_day}, which is more than a"
                " hundred years: correct the format of the arrival in its mapping."
            )

    @property
    def days(self) -> Days:
        return Days(self.first_day, self.latest_day)

    def pieces(self, first: date, last: date) -> Iterator[Mapping[str, pd.DataFrame]]:
        """All of the sample."""
        yield from self._pieces


def _days(piece: Mapping[str, pd.DataFrame], name: str) -> set[str]:
    return set(piece[name]["batch_date"]) if name in piece else set()


# --- The page


def _page(connection: sqlite3.Connection, sql: Sql, sample: SampledSource, limit: float) -> list[str]:
    days = (
        f"{sample.first_day} to {sample.latest_day}" if sample.first_day < sample.latest_day else f"{sample.first_day}"
    )
    lines = [
        f"Preview of {_plain(sample.name, 40)}: the first {ROWS:,} rows of each kind of file. Nothing was written."
    ]
    lines += [f"They arrived on {days}." if sample.first_day == sample.latest_day else f"They arrived from {days}."]
    for each in sample.samples:
        if each.files:
            lines += ["", "Which file feeds which table", *_files(each)]
    for name in RAW_COLUMNS:
        lines += _three_rows(connection, name)
    lines += _events_without_rule(connection)
    for each in sample.samples:
        lines += _missing_fields(each)
    lines += _rejected(connection, sql, limit)
    return lines


def _plain(text: object, longest: int) -> str:
    """Text in ASCII on one line, cut where it is too long."""
    shown = " ".join(str(text).encode("ascii", "backslashreplace").decode().split())
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def _end(text: str, longest: int) -> str:
    """The end of a file's name, which tells it from the others."""
    shown = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    return shown if len(shown) <= longest else "..." + shown[3 - longest :]


def _files(sample: Sample) -> list[str]:
    fed = [name for name in RAW_COLUMNS if any(counts[name] for counts in sample.files.values())]
    others = [what for what in ("unmapped", "left out") if any(counts[what] for counts in sample.files.values())]
    columns = ["rows", *fed, *others]
    rows = [
        [_end(file, 30), *(f"{counts[column]:,}" for column in columns)]
        for file, counts in list(sample.files.items())[:FILES]
    ]
    headers = ["file", "rows", *fed, *({"unmapped": "no rule", "left out": "left out"}[what] for what in others)]
    more = len(sample.files) - FILES
    return [*table(headers, rows), *([f"and {more:,} more files"] if more > 0 else [])]


def _three_rows(connection: sqlite3.Connection, name: str) -> list[str]:
    columns = RAW_COLUMNS[name]
    (total,) = connection.execute(f"select count(*) from {name}").fetchone()
    if not total:
        return []
    kind, place = KINDS.get(name, columns[0]), ", ".join(ARRIVAL_COLUMNS)
    found = connection.execute(
        f"select batch_date, {', '.join(columns)} from"
        f" (select *, row_number() over (partition by {kind} order by {place}) as of_kind from {name})"
        f" order by of_kind, {place} limit 3"
    ).fetchall()
    longest = (WIDTH - max(map(len, columns))) // 3 - GAP
    rows = [
        [column, *("-" if value is None else _plain(value, longest) for value in values)]
        for column, values in zip(["(batch)", *columns], zip(*found, strict=True), strict=True)
    ]
    headers = ["column", *(f"row {n}" for n in range(1, len(found) + 1))]
    return ["", f"{name}: {len(found)} of {total:,} rows", *table(headers, rows)]


def _events_without_rule(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(
        f"select event_name, sum(rows_seen) from {UNMAPPED} group by 1 order by 2 desc, 1"
    ).fetchall()
    if not found:
        return []
    rows = [[_plain(name, 60), f"{seen:,}"] for name, seen in found[:NAMES]]
    more = len(found) - NAMES
    return [
        "",
        "Events that no rule maps",
        *table(["event", "rows"], rows),
        *([f"and {more:,} more"] if more > 0 else []),
    ]


def _missing_fields(sample: Sample) -> list[str]:
    found = [[_plain(field, 50), _plain(pattern, 44)] for pattern, field in sample.missing]
    if not found:
        return []
    return ["", "Fields that the mapping reads and no row had", *table(["field", "in files like"], found)]


def _rejected(connection: sqlite3.Connection, sql: Sql, limit: float) -> list[str]:
    rows: list[list[str]] = []
    landed = 0
    for name in RAW_COLUMNS:
        (total,) = connection.execute(f"select count(*) from {name}").fetchone()
        landed += total
        found: list[tuple[Any, ...]] = connection.execute(
            "select reject_reason, count(*), min(source_file || ' row ' || source_row)"
            f" from ({sql.typed(name)}) as typed"
            " where reject_reason is not null group by 1 order by 2 desc, 1"
        ).fetchall()
        rows += [
            [f"{name}: {_plain(reason, 40)}", f"{seen:,}", f"{100 * seen / total:.1f} %", _end(where, 36)]
            for reason, seen, where in found
        ]
    if not rows:
        return ["", f"Nothing of the {landed:,} rows would be rejected."]
    said = f"More than {100 * limit:g} % of a batch stop a run (quality.max_rejected_rate in include/definitions.yaml)."
    return ["", "What would be rejected", *table(["table: reason", "rows", "share", "first"], rows), said]
