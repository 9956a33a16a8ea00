"""Batches from files that an operator has in a folder or a bucket, read by a mapping (`growth.sources.mapped.mapping`).

The batch of a row is the day in the name of its file, where the pattern of the mapping has one: then only the files of
the days that are asked for are opened. Otherwise it is the day of its arrival, and all files are read.

Every row of a file that its mapping lets through lands, whatever is wrong with it:

* A value that does not read as the format of its column stays as it came. Staging rejects it with its content.
* A row whose arrival does not read lands in the last batch of its file: the latest day that another row of the
  file names. A file with rows and no readable arrival is an error, for there it is the mapping that is wrong.
* A malformed line has no id, so that staging rejects it: columns whose name ends in `_id` are empty, the others
  keep what was readable. Malformed is a CSV line with more fields than the header or with a quote that does not
  end where its field ends, and a JSON line that does not parse or is no object. A quote that is never closed
  spoils its own line only. A CSV line with fewer fields is not malformed: its last fields are empty. It lands in each
  table that takes every row of the file; where none does, in that of the first feed.
* Events that no rule maps do not land: they are counted by their names.

Empty text is None. Characters that no warehouse stores (NUL, half a surrogate pair) become U+FFFD. Blank lines
are no rows.

A row is named by `source_file`, the path below the folder (that of a zip's member stands behind the zip's), and
`source_row`, the number of the row in the file: 1 is the first one after the header. So that the name stays unique,
no file may feed a table by two inputs, and of several feeds of one input the first that takes a row has it.

No file is held in memory. What is wrong with one may show after rows of it have been handed out.
"""

from __future__ import annotations

import gc
import pickle
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from growth.errors import UserError
from growth.language.definitions import Definitions
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.sources.mapped.mapping import FieldPath, FilesEntry, day_form, load, placeholder
from growth.sources.mapped.moments import day_of

# pandas and pyarrow are imported where they are used: a process that only asks for the name of a source needs neither.
if TYPE_CHECKING:
    import pandas as pd

    from growth.sources.mapped.formats import Part
    from growth.sources.mapped.values import Made, Row, Rows

# Raw rows of one table that are handed out together.
PIECE_ROWS = 50_000

# Up to so many days, files are looked for day by day; beyond, all are listed at once.
_DAYS_ONE_BY_ONE = 62


class Found(NamedTuple):
    """A file of an input."""

    each: FilesEntry
    name: str
    """Its path below the place."""
    day: date | None
    """The day that its name says."""


class Tally:
    """What became of the rows that were read, for those who want to know."""

    def __init__(self) -> None:
        self.files: dict[str, Counter[str]] = {}
        """For each file how many rows were read (`rows`), landed in each table, mapped by no rule, left out."""
        self._unseen: dict[str, tuple[FilesEntry, set[FieldPath]]] = {}

    def add(self, file: str, rows: Rows, made: Made, with_fields: bool) -> None:
        """Count some rows; with_fields searches them for the fields that the mapping reads."""
        if with_fields:
            _, unseen = self._unseen.setdefault(rows.each.pattern, (rows.each, rows.each.file_paths()))
            unseen -= {path for path in unseen if any(rows.of(path))}
        counts = self.files.setdefault(file, Counter())
        counts["rows"] += len(rows)
        counts["unmapped"] += sum(made.unmapped.values())
        counts["left out"] += made.left_out
        for table, (positions, _) in made.tables.items():
            counts[table] += len(positions)

    def missing(self) -> list[tuple[str, FieldPath]]:
        """Patterns and fields that no row had; of several of which the first that is there counts, all are missing."""
        found = []
        for pattern, (each, unseen) in self._unseen.items():
            seen_otherwise = {path for choices in each.alternatives() if choices - unseen for path in choices}
            found += [(pattern, path) for path in sorted(unseen - seen_otherwise, key=str)]
        return found


class Files:
    """The Source of the files at a place (a folder, or a URL of a bucket) that the mapping at `mapping_path` names.

    The mapping is read at once, raising UserError; the files when their rows are asked for.
    """

    def __init__(self, mapping_path: str | Path, place: str | Path, words: Definitions | None = None) -> None:
        from growth.sources.places import place_of

        self._mapping_path = Path(mapping_path)
        self.mapping = load(self._mapping_path, words)
        self.place = place_of(place)
        self.name = self._mapping_path.stem
        self._days_of_files: dict[tuple[str, Any], tuple[str, str] | None] = {}

    @property
    def first_day(self) -> date:
        return self._days[0]

    @property
    def last_day(self) -> date:
        return self._days[1]

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, as `growth.sources.Source` says."""
        return _quick(self._read(self.files(first, last), first.isoformat(), last.isoformat(), Tally(), None))

    def sample(self, rows: int, tally: Tally) -> Iterator[dict[str, pd.DataFrame]]:
        """So many rows of each input, of its latest files, whatever their days; the tally says where they are from."""
        everything = self.files()
        for each in self.mapping.files:
            files = [found for found in everything if found.each is each]
            files.sort(key=lambda found: (found.day or date.min, found.name), reverse=True)
            yield from self._read(files, "", "9999-12-31", tally, rows)

    # --- Which files ---

    def files(self, first: date | None = None, last: date | None = None) -> list[Found]:
        """The files of some days, or of all, as far as their names tell. Raises UserError where one is missing."""
        found: list[Found] = []
        fed: set[tuple[str, str]] = set()
        for each in self.mapping.files:
            some = self._dated(each, first, last) if each.is_dated else self._undated(each)
            for one in some:
                for table in {feed.table for feed in each.feeds}:
                    if (one.name, table) in fed:
                        raise UserError(
                            f"{self.place.shown(one.name)} feeds {table} twice by {self._mapping_path}, so that its"
                            " rows could not be told apart: let no two patterns match the file."
                        )
                    fed.add((one.name, table))
            found += some
        return found

    def _undated(self, each: FilesEntry) -> list[Found]:
        names = self.place.matching(each.pattern)
        if not names and not self.mapping.may_be_missing(each):
            raise self._no_file(each.pattern)
        return [Found(each, name, None) for name in names]

    def _dated(self, each: FilesEntry, first: date | None, last: date | None) -> list[Found]:
        before, kind, form, behind = placeholder(each.pattern)
        if first is not None and last is not None and (last - first).days < _DAYS_ONE_BY_ONE:
            days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
            found = [
                Found(each, name, day)
                for day in days
                for name in self.place.matching(f"{before}{_day_text(day, kind, form)}{behind}")
            ]
        else:
            any_day = re.sub("(?:%.)+", "*", form) if kind == "date" else "*"
            # Two stars side by side would stand for folders.
            any_day = any_day.lstrip("*") if before.endswith("*") else any_day
            any_day = any_day.rstrip("*") if behind.startswith("*") else any_day
            names = self.place.matching(f"{before}{any_day}{behind}")
            text = {"date": day_form(form), "day_ms": r"-?\d+", "day_seconds": r"-?\d+"}[kind]
            shape = re.compile(f"{_glob(before)}({text}){_glob(behind)}", re.DOTALL)
            found = []
            for name in names:
                match = shape.fullmatch(name)
                day = _day_of_text(match[1], kind, form) if match else None
                if day and (first is None or first <= day) and (last is None or day <= last):
                    found.append(Found(each, name, day))
            found.sort(key=lambda one: (one.day, one.name))
            days = [first + timedelta(days=n) for n in range((last - first).days + 1)] if first and last else []
        if not self.mapping.may_be_missing(each):
            have = {one.day for one in found}
            for day in days:
                if day not in have:
                    raise self._no_file(f"{before}{_day_text(day, kind, form)}{behind}", f" of {day}")
            if not found:
                raise self._no_file(each.pattern)
        return found

    def _no_file(self, pattern: str, of_day: str = "") -> UserError:
        return UserError(
            f"No file{of_day} in {self.place} matches {pattern!r} of {self._mapping_path}: deliver it, name another"
            " folder, correct the pattern, or say no_file: empty_day there if that is no fault."
        )

    @property
    def _days(self) -> tuple[date, date]:
        """The first and the last day that has a row; of dated files, that has a file."""
        days: list[str] = []
        for found in self.files():
            if found.day:
                days.append(found.day.isoformat())
                continue
            key = (found.name, self.place.stamp(found.name))
            if key not in self._days_of_files:
                self._days_of_files[key] = self._arrivals(found)
            days += self._days_of_files[key] or ()
        if not days:
            raise UserError(f"The files of {self._mapping_path} in {self.place} have no rows: deliver some.")
        return date.fromisoformat(min(days)), date.fromisoformat(max(days))

    def _arrivals(self, found: Found) -> tuple[str, str] | None:
        """The first and the last day on which a row of a file arrived; None if it has no row."""
        days: set[str] = set()
        for part in self._parts(found):
            arrivals = _Arrivals()
            for rows, _ in self._rows(found.each, part, _Left(None)):
                arrivals.of(rows, found.each.arrival)
            self._refuse_unreadable(found.each, part, arrivals)
            days |= {arrivals.earliest, arrivals.last} - {""}
        return (min(days), max(days)) if days else None

    # --- What is in them ---

    def _read(
        self, files: list[Found], first: str, last: str, tally: Tally, limit: int | None
    ) -> Iterator[dict[str, pd.DataFrame]]:
        gathered = _Gathered()
        left = _Left(limit)
        for found in files:
            for part in self._parts(found):
                for batches, numbers, rows in self._batches(found, part, first, last, left):
                    made = _make(rows, batches)
                    tally.add(part.name, rows, made, with_fields=limit is not None)
                    gathered.add(part.name, batches, numbers, made)
                    if gathered.is_full:
                        yield gathered.frames()
                if left.rows == 0:
                    yield gathered.frames()
                    return
        yield gathered.frames()

    def _batches(
        self, found: Found, part: Part, first: str, last: str, left: _Left
    ) -> Iterator[tuple[list[str], list[int], Rows]]:
        """The rows of a part whose batches lie between two days, with their batches and numbers."""
        if found.day:
            for rows, start in self._rows(found.each, part, left):
                yield [found.day.isoformat()] * len(rows), list(range(start, start + len(rows))), rows
            return
        arrivals = _Arrivals()
        with _Held() as held:
            for rows, start in self._rows(found.each, part, left):
                days = arrivals.of(rows, found.each.arrival)
                inside = [n for n, day in enumerate(days) if day and first <= day <= last]
                held.add([(start + n, rows.rows[n]) for n, day in enumerate(days) if not day])
                yield [days[n] for n in inside], [start + n for n in inside], rows.some(inside)
            self._refuse_unreadable(found.each, part, arrivals)
            if first <= arrivals.last <= last:
                for some in held.pieces():
                    rows = _rows([row for _, row in some], found.each, part.is_nested)
                    yield [arrivals.last] * len(some), [number for number, _ in some], rows

    def _rows(self, each: FilesEntry, part: Part, left: _Left) -> Iterator[tuple[Rows, int]]:
        """The rows of a part, some at a time and no more than are left, with the number of the first of them."""
        from growth.sources.mapped.formats import expanded

        number = 1
        for some in part.rows:
            some = left.take(expanded(some, each.rows))
            if not some:
                continue
            rows = _rows(some, each, part.is_nested)
            if number == 1 and part.is_nested:
                self._refuse_strange(each, part, rows)
            yield rows, number
            number += len(some)
            if left.rows == 0:
                return

    def _parts(self, found: Found) -> Iterator[Part]:
        """The parts of a file, which must not change until the last one has been read."""
        from growth.sources.mapped.formats import parts

        before = self.place.stamp(found.name)
        shown = self.place.shown(found.name)
        with self.place.open(found.name) as file:
            size = self.place.size(found.name)
            yield from parts(found.name, shown, file, size, found.each, self.mapping.max_growth)
        if self.place.stamp(found.name) != before:
            raise UserError(f"{shown} changed while it was read: wait until it is whole, then run again.")

    def _refuse_strange(self, each: FilesEntry, part: Part, rows: Rows) -> None:
        """A file of objects has no header: it is another one's if no row has anything that keys are made from."""
        paths = each.key_paths()
        if not any(any(rows.of(path)) for path in paths):
            names = ", ".join(sorted(path if isinstance(path, str) else ".".join(path) for path in paths))
            raise UserError(
                f"{self.place.shown(part.name)} has no row with any of {names}, of which the mapping"
                f" {self._mapping_path} makes ids: take the file away, or correct the mapping."
            )

    def _refuse_unreadable(self, each: FilesEntry, part: Part, arrivals: _Arrivals) -> None:
        if arrivals.rows and not arrivals.last:
            form = each.dates[each.arrival]
            raise UserError(
                f"No row of {self.place.shown(part.name)} has an arrival that reads as {form.format or form.either!r},"
                f" its {each.arrival} is {arrivals.example[:40]!r}: correct arrival or dates in {self._mapping_path}."
            )


def _rows(rows: list[Row], each: FilesEntry, is_nested: bool) -> Rows:
    from growth.sources.mapped.values import Rows

    return Rows(rows, each, is_nested)


def _make(rows: Rows, batches: list[str]) -> Made:
    from growth.sources.mapped.values import make

    return make(rows, batches)


# --- Days in the names of files ---


def _day_text(day: date, kind: str, form: str) -> str:
    if kind == "date":
        return day.strftime(form)
    seconds = int(datetime.combine(day, time(), UTC).timestamp())
    return str(seconds * 1000 if kind == "day_ms" else seconds)


def _day_of_text(text: str, kind: str, form: str) -> date | None:
    try:
        if kind == "date":
            return datetime.strptime(text, form).date()
        moment = datetime.fromtimestamp(int(text) // (1000 if kind == "day_ms" else 1), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.date() if moment.time() == time() else None


def _glob(pattern: str) -> str:
    """A regular expression for the paths that a part of a glob pattern matches."""
    names = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(names.get(p) or (p.replace("[!", "[^") if p[:1] == "[" else re.escape(p)) for p in parts)


# --- Rows on their way ---


def _quick(pieces: Iterator[Any]) -> Iterator[Any]:
    """The same pieces, each made while Python's collector of circles rests.

    It would look at every row again and again, a third of the time that reading takes, and rows have no circles.
    """
    while True:
        was_on = gc.isenabled()
        gc.disable()
        try:
            piece = next(pieces, None)
        finally:
            if was_on:
                gc.enable()
        if piece is None:
            return
        yield piece


class _Arrivals:
    """The days on which the rows of a part arrived, as far as they read."""

    def __init__(self) -> None:
        self.rows = 0
        self.earliest = self.last = self.example = ""

    def of(self, rows: Rows, arrival: str) -> list[str | None]:
        texts, moments = rows.date(arrival)
        days = [moment and day_of(moment) for moment in moments]
        self.rows += len(days)
        readable = {day for day in days if day}
        if readable:
            self.last = max(self.last, *readable)
            self.earliest = min(readable | ({self.earliest} - {""}))
        self.example = self.example or next((text for text in texts if text), "")
        return days


class _Held:
    """Rows that wait for the end of their file: on disk, since they may be all of it."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: list[tuple[int, Row]]) -> None:
        if rows:
            pickle.dump(rows, self._file)

    def pieces(self) -> Iterator[list[tuple[int, Row]]]:
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)
            except EOFError:
                return


class _Left:
    """How many rows may still be read; None for all."""

    def __init__(self, rows: int | None) -> None:
        self.rows = rows

    def take(self, rows: list[Row]) -> list[Row]:
        if self.rows is None:
            return rows
        taken = rows[: self.rows]
        self.rows -= len(taken)
        return taken


class _Gathered:
    """Raw rows that have not been handed out."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._tables: dict[str, dict[str, list[Any]]] = {
            table: {name: [] for name in (*ARRIVAL_COLUMNS, *columns)} for table, columns in RAW_COLUMNS.items()
        }
        self._unmapped: Counter[tuple[str, str, str]] = Counter()

    def add(self, file: str, batches: list[str], numbers: list[int], made: Made) -> None:
        for table, (positions, columns) in made.tables.items():
            held = self._tables[table]
            held["batch_date"] += [batches[position] for position in positions]
            held["source_file"] += [file] * len(positions)
            held["source_row"] += [numbers[position] for position in positions]
            for name, texts in columns.items():
                held[name] += texts
        for (batch, name), rows in made.unmapped.items():
            self._unmapped[batch, file, name] += rows

    @property
    def is_full(self) -> bool:
        return max(len(columns["source_row"]) for columns in self._tables.values()) >= PIECE_ROWS or (
            len(self._unmapped) >= PIECE_ROWS
        )

    def frames(self) -> dict[str, pd.DataFrame]:
        """All of them, which are then forgotten."""
        import pandas as pd

        # Plain objects: pandas' own text columns would turn None into NaN.
        frames = {
            table: pd.DataFrame(columns, dtype=object).astype({"source_row": "int64"})
            for table, columns in self._tables.items()
        }
        unmapped = [(*key, rows) for key, rows in self._unmapped.items()]
        frames[UNMAPPED] = pd.DataFrame(unmapped, columns=list(UNMAPPED_COLUMNS), dtype=object)
        self._clear()
        return frames
