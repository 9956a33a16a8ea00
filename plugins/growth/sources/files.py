"""Batches from files that an operator has in a folder, read by a mapping (`growth.sources.mapping`).

Every row of a file lands in every table that the file feeds, whatever is wrong with it:

* A value that does not read as the format of its column stays as it came. Staging rejects it with its content.
* A row whose arrival does not read lands in the last batch of its file: the latest day that another row of the
  file names. A file with rows and no readable arrival is an error, for there it is the mapping that is wrong.
* A malformed line has no id, so that staging rejects it: columns whose name ends in `_id` are empty, the others
  keep what was readable. Malformed is a CSV line with more fields than the header or with a quote that does not
  end where its field ends, and a JSON line that does not parse or is no object. A quote that is never closed
  spoils its own line only. A CSV line with fewer fields is not malformed: its last fields are empty.

Empty text is None. Characters that no warehouse stores (NUL, half a surrogate pair) become U+FFFD. Blank lines
are no rows.

A row is named by `source_file`, the path below the folder, and `source_row`, the number of the row in the file:
1 is the first one after the header. So that the name stays unique, no file may feed a table twice.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from growth.errors import UserError
from growth.sources import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.sources.mapping import Input, Value, load, moment_reader, one_line

# pandas and pyarrow are imported where they are used: a process that only asks for the name of a source needs neither.
if TYPE_CHECKING:
    import pandas as pd


class Files:
    """The Source of the files below `folder` that the mapping at `mapping_path` names.

    The mapping is read at once; the files when a day is first asked for, each once and all of them before any row
    is handed out. Both raise UserError.
    """

    def __init__(self, mapping_path: str | Path, folder: str | Path) -> None:
        self._mapping_path = Path(mapping_path)
        self._folder = Path(folder)
        self._mapping = load(self._mapping_path)
        self.name = self._mapping_path.stem

    @property
    def first_day(self) -> date:
        return date.fromisoformat(min(frame["batch_date"].iloc[0] for frame in self._frames.values() if len(frame)))

    @property
    def last_day(self) -> date:
        return date.fromisoformat(max(frame["batch_date"].iloc[-1] for frame in self._frames.values() if len(frame)))

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, as `growth.sources.Source` says."""
        days = {}
        for table, frame in self._frames.items():
            # Frames lie in the order of their batches.
            begin = frame["batch_date"].searchsorted(first.isoformat(), "left")
            end = frame["batch_date"].searchsorted(last.isoformat(), "right")
            days[table] = frame.iloc[begin:end].reset_index(drop=True)
        yield days

    @cached_property
    def _frames(self) -> dict[str, pd.DataFrame]:
        """All raw rows of each table, sorted by batch."""
        import pandas as pd

        parts = {table: [_frame(table, "", [], {})] for table in RAW_COLUMNS}
        for each, paths in self._inputs():
            for path, content in _contents(each, paths):
                for table, part in self._landed(each, path, content).items():
                    parts[table].append(part)
        frames = {table: pd.concat(part) for table, part in parts.items()}
        if all(frame.empty for frame in frames.values()):
            raise UserError(f"The files of {self._mapping_path} in {self._folder} have no rows: deliver some.")
        return {table: frame.sort_values(list(ARRIVAL_COLUMNS), ignore_index=True) for table, frame in frames.items()}

    def _inputs(self) -> list[tuple[Input, list[Path]]]:
        """The inputs of the mapping, each with its files."""
        if not self._folder.is_dir():
            raise UserError(f"There is no folder {self._folder}: name the one that has the files of {self.name}.")
        inputs = []
        fed = set()
        for each in self._mapping.files:
            paths = sorted(path for path in self._folder.glob(each.pattern) if path.is_file())
            if not paths:
                raise UserError(
                    f"No file in {self._folder} matches {each.pattern!r} of {self._mapping_path}: deliver it, name"
                    " another folder or correct the pattern."
                )
            for path in paths:
                for feed in each.feeds:
                    if (path, feed.table) in fed:
                        raise UserError(
                            f"{path} feeds {feed.table} twice by {self._mapping_path}, so that its rows could not be"
                            " told apart: keep one of the feeds, or let no two patterns match the file."
                        )
                    fed.add((path, feed.table))
            inputs.append((each, paths))
        return inputs

    def _landed(self, each: Input, path: Path, content: Content) -> dict[str, pd.DataFrame]:
        """The raw rows of one file, for each table that it feeds."""
        if not content.rows:
            return {}
        moments = {column: _moments(content.values[column], form) for column, form in each.dates.items()}
        arrivals = [moment and _day(moment) for moment in moments[each.arrival]]
        readable = [day for day in arrivals if day]
        if not readable:
            example = next((text for text in content.values[each.arrival] if text), "")
            raise UserError(
                f"No row of {path} has an arrival that reads as {each.dates[each.arrival]!r}, its {each.arrival} is"
                f" {example[:40]!r}: correct arrival or dates in {self._mapping_path}."
            )
        last = max(readable)
        batches = [day or last for day in arrivals]
        source_file = path.relative_to(self._folder).as_posix()
        return {
            feed.table: _frame(
                feed.table,
                source_file,
                batches,
                {name: _raw_column(name, value, content, moments) for name, value in feed.columns.items()},
            )
            for feed in each.feeds
        }


# --- From the columns of a file to those of a raw table ---


class Content(NamedTuple):
    """What a file holds."""

    columns: list[str]
    """All its columns."""
    values: dict[str, list[str | None]]
    """Those that were asked for and are there, one text for each row."""
    rows: int
    malformed: set[int]
    """Positions of rows whose ids cannot be trusted, from 0."""


def _moments(texts: list[str | None], date_format: str) -> list[date | datetime | None]:
    read = moment_reader(date_format)
    distinct = {text: read(text) for text in set(texts) if text}  # dates repeat a lot
    return [distinct.get(text) for text in texts]


def _day(moment: date | datetime) -> str:
    return (moment.date() if isinstance(moment, datetime) else moment).isoformat()


def _raw_column(
    name: str, value: Value, content: Content, moments: dict[str, list[date | datetime | None]]
) -> list[str | None]:
    """The texts of one column of a raw table, one for each row of the file."""
    if value.column:
        texts = [_renamed(text, value) for text in content.values[value.column]]
    elif value.constant:
        texts = [value.constant] * content.rows
    elif value.template:
        texts = _filled(value.pieces(), content)
    elif value.day:
        pairs = zip(content.values[value.day], moments[value.day], strict=True)
        texts = [_day(moment) if moment else text for text, moment in pairs]
    else:
        pairs = zip(content.values[value.moment], moments[value.moment], strict=True)
        texts = [moment.isoformat() if moment else text for text, moment in pairs]
    if name.endswith("_id"):
        for position in content.malformed:
            texts[position] = None
    return texts


def _renamed(text: str | None, value: Value) -> str | None:
    if text is None or text in value.values:
        return value.values.get(text)
    return text.lower() if value.lower else text


def _filled(pieces: list[tuple[str, str | None]], content: Content) -> list[str | None]:
    texts = [""] * content.rows
    for fixed, column in pieces:
        parts = content.values[column] if column else [""] * content.rows
        pairs = zip(texts, parts, strict=True)
        texts = [None if text is None or part is None else text + fixed + part for text, part in pairs]
    return texts


def _frame(table: str, source_file: str, batches: list[str], columns: dict[str, list[str | None]]) -> pd.DataFrame:
    """The raw rows of one file as Source.read hands them out; columns that are not given are empty."""
    import pandas as pd

    rows = len(batches)
    place = dict(zip(ARRIVAL_COLUMNS, (batches, [source_file] * rows, range(1, rows + 1)), strict=True))
    raw = {name: columns.get(name, [None] * rows) for name in RAW_COLUMNS[table]}
    # Plain objects: pandas' own text columns would turn None into NaN.
    return pd.DataFrame(place | raw, dtype=object).astype({"source_row": "int64"})


# --- Reading files: every value as text, empty text as None ---


def _contents(each: Input, paths: list[Path]) -> list[tuple[Path, Content]]:
    """The content of each file of an input. Raises UserError where one lacks a column or has it twice."""
    wanted = each.file_columns()
    contents = [(path, _content(path, wanted)) for path in paths]
    # A line of JSON leaves out what it does not have: there a column is missing when no file ever has it.
    in_json = {c for path, content in contents if _format(path) == ".jsonl" for c in content.columns}
    for path, content in contents:
        known = in_json if _format(path) == ".jsonl" else content.columns
        for column in sorted(wanted):
            if column not in known:
                names = one_line(", ".join(sorted(known) if known is in_json else known))[:200] or "none"
                raise UserError(
                    f"{path} has no column {column!r}: correct the mapping or the file, whose columns are {names}."
                )
            if content.columns.count(column) > 1:
                raise UserError(f"{path} has the column {column!r} twice: rename one of them in the file.")
    return contents


def _format(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _content(path: Path, wanted: set[str]) -> Content:
    match _format(path):
        case ".csv":
            return _csv(_decoded(path), wanted)
        case ".jsonl":
            return _json_lines(_decoded(path), wanted)
        case ".parquet":
            return _parquet(path, wanted)
    raise UserError(f"{path} is of no known format: name it .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet.")


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 at byte {error.start}: deliver it in UTF-8.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read whole, deliver it again: {one_line(error)}.") from None
    if not text.strip():
        raise UserError(f"{path} is empty, it has no header and no row: deliver it again or take it away.")
    return _UNSTORABLE.sub("\ufffd", text)


def _csv(text: str, wanted: set[str]) -> Content:
    records = _records(list(io.StringIO(text, newline="")))
    header, _ = next(records)
    places = {column: header.index(column) for column in wanted if column in header}
    values = {column: [] for column in places}
    malformed = set()
    rows = 0
    for fields, is_malformed in records:
        if is_malformed or len(fields) > len(header):
            malformed.add(rows)
        for column, place in places.items():
            values[column].append((fields[place] or None) if place < len(fields) else None)
        rows += 1
    return Content(header, values, rows, malformed)


def _records(lines: list[str]) -> Iterator[tuple[list[str], bool]]:
    """The records of a CSV file that are not blank, and whether each is malformed."""
    start = 0
    while start < len(lines):
        # Strict, because a stray quote otherwise takes in the lines after it, up to the next quote.
        reader = csv.reader((lines[number] for number in range(start, len(lines))), strict=True)
        whole = 0
        try:
            for fields in reader:
                if fields:
                    yield fields, False
                whole = reader.line_num
            return
        except csv.Error:
            yield _readable(lines[start + whole]), True
            start += whole + 1


def _readable(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")]))
    except csv.Error:  # a field beyond the limit of the module
        return []


class _Number(float):
    """A number of a JSON file that knows how it was written: 29.90, not 29.9."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _json_lines(text: str, wanted: set[str]) -> Content:
    columns: dict[str, None] = {}
    values = {column: [] for column in wanted}
    rows = 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_float=_Number, parse_constant=str)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            row = {}  # nothing can be read, so there is no id either
        columns.update(dict.fromkeys(row))
        for column in wanted:
            values[column].append(_text(row.get(column)))
        rows += 1
    return Content(list(columns), values, rows, set())


def _parquet(path: Path, wanted: set[str]) -> Content:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            columns = file.schema_arrow.names
            table = file.read([column for column in columns if column in wanted])
            named = zip(table.column_names, table.columns, strict=True)
            values = {name: [_text(value) for value in column.to_pylist()] for name, column in named}
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path} cannot be read as Parquet, deliver it again: {one_line(error)}.") from None
    return Content(columns, values, table.num_rows, set())


def _text(value: Any) -> str | None:
    """A typed value as text: days and moments in ISO, flags as true and false, what is nested as JSON."""
    match value:
        case None:
            return None
        case str():
            text = value
        case bytes():
            text = value.decode("utf-8", "replace")
        case _Number():
            text = value.text
        case float():
            if math.isnan(value):  # NaN is how a column of numbers writes that there is none
                return None
            # Whole numbers become fractions where their column has gaps: the id 7 was written as 7.0.
            text = str(int(value)) if value.is_integer() else repr(value)
        case date():
            text = value.isoformat()
        case bool() | list() | dict():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case _:
            text = str(value)
    return _UNSTORABLE.sub("\ufffd", text) or None
