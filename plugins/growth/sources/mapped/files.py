"""Batches from files in a folder or a bucket, read by a mapping (`growth.sources.mapped.mapping`).

The batch of a row is the day in the name of its file if the pattern of the mapping has one; then only the files of the
days that are asked for are opened. Otherwise it is the day of the row's arrival, and all files are read.

Every row of a file that the mapping's conditions accept lands, whatever is wrong with it:

* A value that does not read as the format of its column stays as it came. Staging rejects it with its content.
* A row whose arrival cannot be read lands in the last batch of its file, the latest day that another row of the file
  names. If a file has rows but no readable arrival, the mapping is wrong, which is an error.
* A malformed line lands without ids, so that staging rejects it: columns whose name ends in `_id` are empty, others
  keep what was readable. Malformed is a CSV line with more fields than the header or with a quote that does not end
  where its field ends, and a JSON line that does not parse or is no object. A quote that is never closed spoils only
  its own line. A CSV line with fewer fields is not malformed: its last fields are empty. A malformed line lands in
  each table that takes every row of the file, or else in the table of the first feed.
* Events that no rule maps do not land: they are counted by their names.

Empty text becomes None. Characters that no warehouse stores (NUL, half a surrogate pair) become U+FFFD. Blank lines
are no rows.

A row is named by `source_file`, the path below the folder (the path of a zip's member follows the zip's), and
`source_row`, the number of the row in the file, from 1 for the first row after the header. So that this name is
unique, no file may feed a table by two entries.

No file is held in memory, so an error in a file may show after rows of it have been handed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.errors import UserError
from growth.language.definitions import Definitions
from growth.sources.contract import Sample, Source
from growth.sources.file_stores import open_store
from growth.sources.mapped import formats
from growth.sources.mapped.buffers import Arrivals, RawRows, RowLimit, RowsOnDisk, Tally
from growth.sources.mapped.finding import Finder, FoundFile
from growth.sources.mapped.formats import Part
from growth.sources.mapped.mapping import FilesEntry, load
from growth.sources.mapped.values import Rows, map_rows

# pandas and pyarrow are imported where they are used: asking a source for its name needs neither.
if TYPE_CHECKING:
    import pandas as pd

# Raw rows of one table that are handed out together.
PIECE_ROWS = 50_000


class Files(Source):
    """The Source of the files at a location (a folder, or the URL of a bucket) that a mapping names.

    The mapping is read at once, the files when their rows are asked for. Both raise UserError.
    """

    def __init__(self, mapping_path: str | Path, location: str | Path, words: Definitions | None = None) -> None:
        self._mapping_path = Path(mapping_path)
        self.mapping = load(self._mapping_path, words)
        self._store = open_store(location)
        self._finder = Finder(self.mapping, self._mapping_path, self._store)
        self.name = self._mapping_path.stem
        self._days_of_files: dict[tuple[str, Any], tuple[str, str] | None] = {}

    @property
    def first_day(self) -> date:
        return self._days[0]

    @property
    def last_day(self) -> date:
        return self._days[1]

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        return self._read(self._finder.files(first, last), first.isoformat(), last.isoformat())

    def sample(self, rows: int, yesterday: date) -> list[Sample]:
        """So many rows of each entry of the mapping, from its latest files."""
        tally = Tally()
        pieces = []
        everything = self._finder.files()
        for entry in self.mapping.files:
            files = [file for file in everything if file.entry is entry]
            files.sort(key=lambda file: (file.day or date.min, file.name), reverse=True)
            pieces += self._read(files, "", "9999-12-31", rows, tally)
        return [Sample(pieces, tally.files, tally.missing())]

    @property
    def _days(self) -> tuple[date, date]:
        """The first and the last day with a row or, for files with a day in their names, with a file."""
        days: list[str] = []
        for file in self._finder.files():
            if file.day:
                days.append(file.day.isoformat())
                continue
            key = (file.name, self._store.stamp(file.name))
            if key not in self._days_of_files:
                self._days_of_files[key] = self._arrivals(file)
            days += self._days_of_files[key] or ()
        if not days:
            raise UserError(f"The files of {self._mapping_path} in {self._store} have no rows: deliver some.")
        return date.fromisoformat(min(days)), date.fromisoformat(max(days))

    def _arrivals(self, file: FoundFile) -> tuple[str, str] | None:
        """The first and the last day on which a row of a file arrived; None if it has no row."""
        days: set[str] = set()
        for part in self._parts(file):
            arrivals = Arrivals()
            for rows, _ in self._rows(file.entry, part, RowLimit(None)):
                arrivals.of(rows, file.entry.arrival)
            self._refuse_unreadable(file.entry, part, arrivals)
            days |= {arrivals.first, arrivals.last} - {""}
        return (min(days), max(days)) if days else None

    def _read(
        self, files: list[FoundFile], first: str, last: str, rows: int | None = None, tally: Tally | None = None
    ) -> Iterator[dict[str, pd.DataFrame]]:
        """The batches from first to last of some files, up to so many rows."""
        raw_rows = RawRows()
        limit = RowLimit(rows)
        for file in files:
            for part in self._parts(file):
                for batches, numbers, some in self._batches(file, part, first, last, limit):
                    mapped = map_rows(some, batches)
                    if tally:
                        tally.add(part.name, some, mapped)
                    raw_rows.add(part.name, batches, numbers, mapped)
                    if len(raw_rows) >= PIECE_ROWS:
                        yield raw_rows.take()
                if limit.rows == 0:
                    yield raw_rows.take()
                    return
        yield raw_rows.take()

    def _batches(
        self, file: FoundFile, part: Part, first: str, last: str, limit: RowLimit
    ) -> Iterator[tuple[list[str], list[int], Rows]]:
        """The rows of a part whose batches lie between two days, with their batches and numbers."""

        if file.day:
            for rows, start in self._rows(file.entry, part, limit):
                yield [file.day.isoformat()] * len(rows), list(range(start, start + len(rows))), rows
            return
        arrivals = Arrivals()
        with RowsOnDisk() as unreadable:
            for rows, start in self._rows(file.entry, part, limit):
                days = arrivals.of(rows, file.entry.arrival)
                inside = [n for n, day in enumerate(days) if day and first <= day <= last]
                unreadable.add([(start + n, rows.rows[n]) for n, day in enumerate(days) if not day])
                yield [days[n] for n in inside], [start + n for n in inside], rows.some(inside)
            self._refuse_unreadable(file.entry, part, arrivals)
            if first <= arrivals.last <= last:
                for some in unreadable.pieces():
                    rows = Rows([row for _, row in some], file.entry, part.is_nested)
                    yield [arrivals.last] * len(some), [number for number, _ in some], rows

    def _rows(self, entry: FilesEntry, part: Part, limit: RowLimit) -> Iterator[tuple[Rows, int]]:
        """The rows of a part, some at a time, with the number of the first of them."""
        number = 1
        for some in part.rows:
            some = limit.take(formats.expanded(some, entry.rows))
            if not some:
                continue
            rows = Rows(some, entry, part.is_nested)
            if number == 1 and part.is_nested:
                self._refuse_strange(entry, part, rows)
            yield rows, number
            number += len(some)
            if limit.rows == 0:
                return

    def _parts(self, file: FoundFile) -> Iterator[Part]:
        """The parts of a file, which must not change until the last one has been read."""
        shown = self._store.shown(file.name)
        with self._store.unchanged(file.name) as data:
            size = self._store.size(file.name)
            yield from formats.parts(file.name, shown, data, size, file.entry, self.mapping.max_growth)

    def _refuse_strange(self, entry: FilesEntry, part: Part, rows: Rows) -> None:
        """JSON has no header: a file in whose first rows no key has a value is for another mapping."""
        paths = entry.key_paths()
        if not any(any(rows.of(path)) for path in paths):
            names = ", ".join(sorted(path if isinstance(path, str) else ".".join(path) for path in paths))
            raise UserError(
                f"{self._store.shown(part.name)} has no row with any of {names}, of which the mapping"
                f" {self._mapping_path} makes ids: remove the file, or correct the mapping."
            )

    def _refuse_unreadable(self, entry: FilesEntry, part: Part, arrivals: Arrivals) -> None:
        if arrivals.rows and not arrivals.last:
            form = entry.dates[entry.arrival]
            raise UserError(
                f"No row of {self._store.shown(part.name)} has an arrival that reads as {form.format or form.either!r},"
                f" its {entry.arrival} is {arrivals.example[:40]!r}: correct arrival or dates in {self._mapping_path}."
            )
