"""From the bytes of a file to its rows, some at a time: CSV, JSON lines, JSON documents and Parquet; gz and zip.

No file is held in memory as a whole, except a JSON document, whose size is limited.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TypedDict

from growth.errors import UserError, one_line
from growth.sources.mapped.mapping import PARENT, FieldPath, FilesEntry
from growth.sources.mapped.values import UNSTORABLE, Malformed, Number, Row, keys_of
from growth.sources.unpacking import Budget, readable

# Rows of a file that are in memory at a time, and their bytes. Larger pieces make Python's garbage collector slower.
PIECE_ROWS = 5_000
PIECE_BYTES = 8 << 20
BLOCK_BYTES = 1 << 20
LONGEST_LINE = 64 << 20
LARGEST_DOCUMENT = 64 << 20

_SUFFIXES = {"csv": "csv", "jsonl": "json_lines", "ndjson": "json_lines", "json": "json", "parquet": "parquet"}


class Part(NamedTuple):
    """A file, or a member of a zip archive."""

    name: str
    """Its name in the store; that of a member follows the archive's."""
    rows: Iterator[list[Row]]
    is_nested: bool
    """Whether fields can be nested."""


def parts(name: str, shown: str, file: BinaryIO, size: int, entry: FilesEntry, max_growth: int) -> Iterator[Part]:
    """The parts of a file; each must be read to its end before the next. Raises UserError, also during reading."""
    # One budget for all members of an archive.
    budget = Budget(shown, size, max_growth)
    if not name.lower().endswith(".zip"):
        yield _part(name, shown, file, entry, budget)
        return
    with readable(shown):
        archive = zipfile.ZipFile(file)
    with archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if not members:
            raise UserError(f"{shown} holds no file: deliver it again or remove it.")
        for member in sorted(members, key=lambda m: m.filename):
            with readable(shown):
                content = archive.open(member)
            with content:
                limited = budget.limited(content)
                yield _part(f"{name}/{member.filename}", f"{shown}/{member.filename}", limited, entry, budget)


def _part(name: str, shown: str, file: BinaryIO, entry: FilesEntry, budget: Budget) -> Part:
    plain = name.lower()
    data = file
    if plain.endswith(".gz"):
        plain = plain.removesuffix(".gz")
        data = budget.unpacked(file)
    kind = entry.format or _SUFFIXES.get(plain.rsplit("/", 1)[-1].rpartition(".")[2])
    readers = {"csv": _csv, "json_lines": _json_lines, "json": _json}
    if kind in readers:
        return Part(name, _readable_rows(shown, readers[kind](data, shown, entry)), kind != "csv")
    if kind == "parquet":
        if data is not file or not file.seekable():
            raise UserError(f"{shown} is Parquet in an archive: deliver it as it is, Parquet is compressed itself.")
        return Part(name, _parquet(file, shown, entry), True)
    raise UserError(
        f"{shown} has no known format: name it .csv, .csv.gz, .jsonl, .jsonl.gz, .json, .zip or .parquet, or give its"
        " format in the mapping."
    )


def _readable_rows(shown: str, rows: Iterator[list[Row]]) -> Iterator[list[Row]]:
    with readable(shown):
        yield from rows


def _blocks(data: BinaryIO, shown: str) -> Iterator[bytes]:
    """The content in blocks. A file that is empty or blank is an error."""
    is_empty = True
    while block := data.read(BLOCK_BYTES):
        is_empty = is_empty and not block.removeprefix(codecs.BOM_UTF8).strip()
        yield block
    if is_empty:
        raise UserError(f"{shown} is empty, it has no header and no row: deliver it again or remove it.")


def _no_utf8(shown: str, byte: int) -> UserError:
    return UserError(f"{shown} is not UTF-8 at byte {byte}: deliver it in UTF-8.")


# --- CSV ---


def _csv(data: BinaryIO, shown: str, entry: FilesEntry) -> Iterator[list[Row]]:
    records = _records(_lines(data, shown))
    header, _ = next(records, ([], False))
    wanted = _columns_of(header, shown, entry)
    width = len(header)
    rows: list[Row] = []
    size = 0
    for fields, is_malformed in records:
        number = len(fields)
        row = {name: fields[index] if index < number else None for name, index in wanted}
        rows.append(Malformed(row) if is_malformed or number > width else row)
        size += sum(map(len, fields))
        if len(rows) >= PIECE_ROWS or size >= PIECE_BYTES:
            yield rows
            rows, size = [], 0
    yield rows


def _columns_of(header: list[str], shown: str, entry: FilesEntry) -> list[tuple[str, int]]:
    """The columns to read, with their positions. Raises UserError if one is missing or appears twice."""
    names = {keys_of(path, False)[0] for path in entry.file_paths()}
    _refuse_missing(header, names, shown, entry, lambda path: keys_of(path, False)[0])
    return [(name, header.index(name)) for name in sorted(names) if name in header]


def _refuse_missing(
    header: list[str], names: set[str], shown: str, entry: FilesEntry, top: Callable[[FieldPath], str]
) -> None:
    optional = set(entry.optional or ())
    for choices in entry.alternatives():
        # A named value of the mapping is no field of the file.
        tops = {top(path) for path in choices if path not in entry.fields}
        if len(tops) < len(choices) or tops & set(header):
            optional |= tops
    for name in sorted(names - optional):
        if name not in header:
            shown_names = one_line(", ".join(header))[:200] or "none"
            raise UserError(
                f"{shown} has no column {name!r}: correct the mapping or the file, whose columns are {shown_names}."
            )
    for name in sorted(names):
        if header.count(name) > 1:
            raise UserError(f"{shown} has the column {name!r} twice: rename one of them in the file.")


def _lines(data: BinaryIO, shown: str) -> Iterator[str]:
    """The lines of a text with their line ends, as the module csv expects them."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest, done, is_first = "", 0, True
    for block in _and_end(_blocks(data, shown)):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _no_utf8(shown, done - pending + error.start) from None
        done += len(block)
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        rest += UNSTORABLE.sub("\ufffd", text)
        if len(rest) > LONGEST_LINE:
            raise UserError(f"{shown} has a line of more than {LONGEST_LINE >> 20} MB: it is no file of lines.")
        lines = list(io.StringIO(rest, newline=""))
        # The last line may continue in the next block, and so may its line end after a carriage return.
        rest = lines.pop() if block and lines else ""
        yield from lines


def _and_end(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield from blocks
    yield b""


def _records(lines: Iterator[str]) -> Iterator[tuple[list[str], bool]]:
    """The records of a CSV file without blank ones, and whether each is malformed."""
    pending: list[str] = []  # the lines read since the last complete record
    replayed: list[str] = []

    def remembered() -> Iterator[str]:
        while True:
            line = replayed.pop() if replayed else next(lines, None)
            if line is None:
                return
            pending.append(line)
            yield line

    while True:
        # Strict, because otherwise a stray quote swallows the lines up to the next quote.
        reader = csv.reader(remembered(), strict=True)
        try:
            for fields in reader:
                pending.clear()
                if fields:
                    yield fields, False
            return
        except csv.Error:
            bad, *others = pending
            pending.clear()
            replayed.extend(reversed(others))
            yield _readable(bad), True


def _readable(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")]))
    except csv.Error:  # a field beyond the limit of the module
        return []


# --- JSON ---


def _json_lines(data: BinaryIO, shown: str, entry: FilesEntry) -> Iterator[list[Row]]:
    read = _line_reader(entry)
    rest, done = b"", 0
    rows: list[Row] = []
    size = 0
    for number, block in enumerate(_and_end(_blocks(data, shown))):
        lines = rest + block
        if not number and lines.startswith(codecs.BOM_UTF8):
            lines, done = lines[len(codecs.BOM_UTF8) :], len(codecs.BOM_UTF8)
        end = lines.rfind(b"\n") + 1 if block else len(lines)
        lines, rest = lines[:end], lines[end:]
        if len(rest) > LONGEST_LINE:
            raise UserError(f"{shown} has a line of more than {LONGEST_LINE >> 20} MB: it is no file of JSON lines.")
        if lines:
            if not lines.isascii():
                try:
                    lines.decode()
                except UnicodeDecodeError as error:
                    raise _no_utf8(shown, done + error.start) from None
            rows += read(lines)
            done += len(lines)
            size += len(lines)
        while len(rows) >= PIECE_ROWS:
            yield rows[:PIECE_ROWS]
            rows, size = rows[PIECE_ROWS:], 0
        if size >= PIECE_BYTES:
            yield rows
            rows, size = [], 0
    yield rows


def _line_reader(entry: FilesEntry) -> Callable[[bytes], list[Row]]:
    """A function from lines to rows, which decodes only the fields that the mapping reads."""
    import msgspec

    whole = msgspec.json.Decoder(dict[str, Any], float_hook=Number)
    some = whole if entry.rows is not None else msgspec.json.Decoder(_shape(entry.file_paths()), float_hook=Number)

    def read(lines: bytes) -> list[Row]:
        try:
            return some.decode_lines(lines)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return [one(line) for line in lines.split(b"\n") if line.strip()]

    def one(line: bytes) -> Row:
        for decoder in (some, whole):
            try:
                return decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
        # What the strict decoder refuses: NUL in a text, half a surrogate pair, NaN.
        try:
            row = json.loads(UNSTORABLE.sub("\ufffd", line.decode()), parse_float=Number, parse_constant=str)
        except (ValueError, RecursionError):
            return Malformed()
        return row if isinstance(row, dict) else Malformed()

    return read


def _shape(paths: set[FieldPath]) -> Any:
    """A type for the decoder: rows with these fields and no others."""
    tree: dict[str, Any] = {}
    for path in sorted(keys_of(path, True) for path in paths):
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
            if node is Any:
                break
        else:
            # Paths are sorted, so a shorter one comes first and includes those below it.
            node[path[-1]] = Any
    return _typed(tree)


def _typed(tree: dict[str, Any]) -> Any:
    if any(key.isdecimal() for key in tree):  # a list, perhaps
        return Any
    fields = {key: Any if below is Any else _typed(below) | None for key, below in tree.items()}
    return TypedDict("Fields", fields, total=False)


def _json(data: BinaryIO, shown: str, entry: FilesEntry) -> Iterator[list[Row]]:
    content = bytearray()
    for block in _blocks(data, shown):
        content += block
        if len(content) > LARGEST_DOCUMENT:
            raise UserError(
                f"{shown} is a JSON document of more than {LARGEST_DOCUMENT >> 20} MB, which is read whole: deliver it"
                " as JSON lines."
            )
    try:
        text = UNSTORABLE.sub("\ufffd", content.decode("utf-8-sig"))
        document = json.loads(text, parse_float=Number, parse_constant=str)
    except UnicodeDecodeError as error:
        raise _no_utf8(shown, error.start) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{shown} is no JSON document ({one_line(error)}): deliver it again, or give format: json_lines in the"
            " mapping if each line is one."
        ) from None
    rows = document
    for key in keys_of(entry.records, True) if entry.records is not None else ():
        rows = rows.get(key) if isinstance(rows, dict) else None
    if entry.records is None and isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        where = f"at {entry.records!r}" if entry.records is not None else "in it"
        raise UserError(f"{shown} has no list of rows {where}: give its place as records in the mapping.")
    rows = [row if isinstance(row, dict) else Malformed() for row in rows]
    for start in range(0, max(len(rows), 1), PIECE_ROWS):
        yield rows[start : start + PIECE_ROWS]


# --- Parquet ---


def _parquet(file: BinaryIO, shown: str, entry: FilesEntry) -> Iterator[list[Row]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file, page_checksum_verification=True) as parquet:
            columns = parquet.schema_arrow.names
            paths = entry.file_paths() | ({entry.rows} if entry.rows is not None else set())

            def top(path: FieldPath) -> str:
                return keys_of(path, True)[0]

            names = {top(path) for path in paths} - ({PARENT} if entry.rows is not None else set())
            _refuse_missing(columns, names, shown, entry, top)
            for batch in parquet.iter_batches(PIECE_ROWS, columns=[name for name in columns if name in names]):
                yield batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{shown} cannot be read as Parquet, deliver it again: {one_line(error)}.") from None


def expanded(rows: list[Row], path: FieldPath | None) -> list[Row]:
    """The elements of the lists at a path, each with its containing row as PARENT; without a path, the rows."""
    if path is None:
        return rows
    found: list[Row] = []
    for row in rows:
        if type(row) is Malformed:
            found.append(row)
            continue
        items: Any = row
        for key in keys_of(path, True):
            items = items.get(key) if isinstance(items, dict) else None
        for item in items if isinstance(items, list) else ():
            found.append({**(item if isinstance(item, dict) else {"value": item}), PARENT: row})
    return found
