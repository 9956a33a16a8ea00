"""make preview: what a source would land, shown on a sample. It writes to a database in memory only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from growth import emails
from growth.commands.text import WIDTH, plain, room, table
from growth.days import Days
from growth.errors import UserError
from growth.language import definitions
from growth.language.queries import Reader
from growth.language.raw import RAW_COLUMNS, UNMAPPED
from growth.language.sql import Sql
from growth.sources import open_source
from growth.sources.contract import Sample, Source
from growth.warehouse.landing import land
from growth.warehouse.schema import prepare
from growth.warehouse.scripts import run_statements

if TYPE_CHECKING:
    import pandas as pd

ROWS = 20_000
"""How many rows of each kind of file are read."""
FILES = 12
NAMES = 40
LONGEST_SPAN = timedelta(days=36_500)

RUN = {"dag_id": "preview", "run_id": "preview"}


def preview(environment: Mapping[str, str]) -> int:
    """Print what the source of the environment would land. Raises UserError."""
    sample = SampledSource(open_source(environment))
    protect = emails.chosen(environment)
    words = definitions.load()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        sql = Sql(words)
        prepare(connection, sql)
        land(connection, sql, sample, sample.days, RUN, protect=protect)
        run_statements(connection, sql.build("rejects", whole=True), RUN)
        lines = _report(Reader(sql, connection), sample)
    print("\n".join(line[:WIDTH].rstrip() for line in lines))
    return 0


class SampledSource(Source):
    """A source whose only rows are a sample of another source."""

    last_day = None

    def __init__(self, source: Source) -> None:
        self.name = source.name
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        self.samples = source.sample(ROWS, yesterday)
        self._pieces = [piece for each in self.samples for piece in each.pieces]
        days = {day for piece in self._pieces for table in RAW_COLUMNS for day in _days(piece, table)}
        days |= {day for piece in self._pieces for day in _days(piece, UNMAPPED)}
        if not days:
            raise UserError(f"The source {source.name} gave no row that its mapping accepts: deliver some.")
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


# --- What is printed


def _report(reader: Reader, sample: SampledSource) -> list[str]:
    days = f"from {sample.first_day} to {sample.latest_day}"
    lines = [
        f"Preview of {plain(sample.name, 40)}: the first {ROWS:,} rows of each kind of file. Nothing was written.",
        f"They arrived {days if sample.first_day < sample.latest_day else f'on {sample.first_day}'}.",
    ]
    for each in sample.samples:
        if each.files:
            lines += ["", "Which file feeds which table", *_files(each)]
    landed = {row["table_name"]: row["rows_landed"] for row in reader.rows("page/landed")}
    for name in RAW_COLUMNS:
        if landed[name]:
            lines += _examples(reader, name, landed[name])
    lines += _events_without_rule(reader, sample)
    for each in sample.samples:
        lines += _missing_fields(each)
    return lines + _rejected(reader, landed)


def _files(sample: Sample) -> list[str]:
    fed = [name for name in RAW_COLUMNS if any(counts[name] for counts in sample.files.values())]
    others = [what for what in ("unmapped", "left out") if any(counts[what] for counts in sample.files.values())]
    columns = ["rows", *fed, *others]
    rows = [
        [plain(file, 30, keep_end=True), *(f"{counts[column]:,}" for column in columns)]
        for file, counts in list(sample.files.items())[:FILES]
    ]
    headers = ["file", "rows", *fed, *({"unmapped": "no rule", "left out": "left out"}[what] for what in others)]
    return [*table(headers, rows), *_more(len(sample.files) - FILES, "more files")]


def _more(number: int, what: str) -> list[str]:
    return [f"and {number:,} {what}"] if number > 0 else []


def _examples(reader: Reader, name: str, total: int) -> list[str]:
    found = reader.rows("terminal/first_rows", table=name)
    longest = room(list(found[0]), 3)
    rows = [
        [
            {"batch_date": "(batch)"}.get(column, column),
            *("-" if row[column] is None else plain(row[column], longest) for row in found),
        ]
        for column in found[0]
    ]
    headers = ["column", *(f"row {n}" for n in range(1, len(found) + 1))]
    return ["", f"{name}: {len(found)} of {total:,} rows", *table(headers, rows)]


def _events_without_rule(reader: Reader, sample: SampledSource) -> list[str]:
    days = {"first_date": sample.first_day.isoformat(), "last_date": sample.latest_day.isoformat()}
    found = reader.rows("terminal/unmapped_events", days)
    if not found:
        return []
    rows = [[plain(event["event_name"], 60), f"{event['rows_seen']:,}"] for event in found[:NAMES]]
    return ["", "Events that no rule maps", *table(["event", "rows"], rows), *_more(len(found) - NAMES, "more")]


def _missing_fields(sample: Sample) -> list[str]:
    found = [[plain(field, 50), plain(pattern, 44)] for pattern, field in sample.missing]
    if not found:
        return []
    return ["", "Fields that the mapping reads and no row had", *table(["field", "in files like"], found)]


def _rejected(reader: Reader, landed: dict[str, int]) -> list[str]:
    rows = [
        [
            f"{group['table_name']}: {plain(group['reject_reason'], 40)}",
            f"{group['rows_rejected']:,}",
            f"{100 * group['rows_rejected'] / landed[group['table_name']]:.1f} %",
            plain(group["first_row"], 36, keep_end=True),
        ]
        for group in sorted(reader.rows("page/rejects"), key=lambda group: list(RAW_COLUMNS).index(group["table_name"]))
    ]
    if not rows:
        return ["", f"None of the {sum(landed.values()):,} rows would be rejected."]
    limit = 100 * reader.definitions.quality.max_rejected_rate
    rule = f"More than {limit:g} % of a batch stop a run (quality.max_rejected_rate in include/definitions.yaml)."
    return ["", "What would be rejected", *table(["table: reason", "rows", "share", "first"], rows), rule]
