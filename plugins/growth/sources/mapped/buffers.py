"""What a source of files keeps while it reads: rows on their way, the days of arrival, and counts."""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.sources.mapped.mapping import FieldPath, FilesEntry
from growth.sources.mapped.moments import day_of
from growth.sources.mapped.values import Mapped, Row, Rows

if TYPE_CHECKING:
    import pandas as pd


class RowLimit:
    """How many rows may still be read; None for all."""

    def __init__(self, rows: int | None) -> None:
        self.rows = rows

    def take(self, rows: list[Row]) -> list[Row]:
        if self.rows is None:
            return rows
        taken = rows[: self.rows]
        self.rows -= len(taken)
        return taken


class Arrivals:
    """The days on which the rows of a part arrived, as far as they can be read."""

    def __init__(self) -> None:
        self.rows = 0
        self.first = self.last = self.example = ""

    def of(self, rows: Rows, arrival: str) -> list[str | None]:
        """The days of some rows, in their order."""
        texts, moments = rows.date(arrival)
        days = [moment and day_of(moment) for moment in moments]
        self.rows += len(days)
        readable = {day for day in days if day}
        if readable:
            self.last = max(self.last, *readable)
            self.first = min(readable | ({self.first} - {""}))
        self.example = self.example or next((text for text in texts if text), "")
        return days


class RowsOnDisk:
    """Rows that wait for the end of their file. They may be the whole file, so they wait on disk."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115

    def __enter__(self) -> RowsOnDisk:
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


class RawRows:
    """Raw rows that have not been handed out yet."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._tables: dict[str, dict[str, list[Any]]] = {
            table: {name: [] for name in (*ARRIVAL_COLUMNS, *columns)} for table, columns in RAW_COLUMNS.items()
        }
        self._unmapped: Counter[tuple[str, str, str]] = Counter()

    def __len__(self) -> int:
        """The rows of the largest table."""
        return max(len(self._unmapped), *(len(columns["source_row"]) for columns in self._tables.values()))

    def add(self, file: str, batches: list[str], numbers: list[int], mapped: Mapped) -> None:
        for table, (positions, columns) in mapped.tables.items():
            held = self._tables[table]
            held["batch_date"] += [batches[position] for position in positions]
            held["source_file"] += [file] * len(positions)
            held["source_row"] += [numbers[position] for position in positions]
            for name, texts in columns.items():
                held[name] += texts
        for (batch, name), rows in mapped.unmapped.items():
            self._unmapped[batch, file, name] += rows

    def take(self) -> dict[str, pd.DataFrame]:
        """All of them as a piece; none are left."""
        import pandas as pd

        # Columns of plain objects, because pandas' own text columns would turn None into NaN.
        frames = {
            table: pd.DataFrame(columns, dtype=object).astype({"source_row": "int64"})
            for table, columns in self._tables.items()
        }
        unmapped = [(*key, rows) for key, rows in self._unmapped.items()]
        frames[UNMAPPED] = pd.DataFrame(unmapped, columns=list(UNMAPPED_COLUMNS), dtype=object)
        self._clear()
        return frames


class Tally:
    """What became of the rows that were read for a sample."""

    def __init__(self) -> None:
        self.files: dict[str, Counter[str]] = {}
        """As in `growth.sources.contract.Sample`."""
        self._unseen: dict[str, tuple[FilesEntry, set[FieldPath]]] = {}

    def add(self, file: str, rows: Rows, mapped: Mapped) -> None:
        _, unseen = self._unseen.setdefault(rows.entry.pattern, (rows.entry, rows.entry.file_paths()))
        unseen -= {path for path in unseen if any(rows.of(path))}
        counts = self.files.setdefault(file, Counter())
        counts["rows"] += len(rows)
        counts["unmapped"] += sum(mapped.unmapped.values())
        counts["left out"] += mapped.left_out
        for table, (positions, _) in mapped.tables.items():
            counts[table] += len(positions)

    def missing(self) -> list[tuple[str, str]]:
        """Patterns and fields that no row had. Alternatives are missing only if all of them are."""
        found = []
        for pattern, (entry, unseen) in self._unseen.items():
            not_needed = {path for choices in entry.alternatives() if choices - unseen for path in choices}
            for path in sorted(unseen - not_needed, key=str):
                found.append((pattern, path if isinstance(path, str) else " > ".join(path)))
        return found
