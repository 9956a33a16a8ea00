"""Which files a mapping names, and the days in their names."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from growth.errors import UserError
from growth.sources.file_stores import FileStore
from growth.sources.mapped.mapping import FileMapping, FilesEntry, day_form, placeholder

# For so many days, files are looked for day by day; for more, all are listed at once.
_DAYS_ONE_BY_ONE = 62


class FoundFile(NamedTuple):
    """A file of an entry of the mapping."""

    entry: FilesEntry
    name: str
    """Its name in the store."""
    day: date | None
    """The day in its name."""


class Finder:
    """Finds the files of a mapping in a store."""

    def __init__(self, mapping: FileMapping, mapping_path: Path, store: FileStore) -> None:
        self._mapping, self._mapping_path, self._store = mapping, mapping_path, store

    def files(self, first: date | None = None, last: date | None = None) -> list[FoundFile]:
        """All files; without those whose names tell another day than asked for. Raises UserError if one is missing."""
        found: list[FoundFile] = []
        fed: set[tuple[str, str]] = set()
        for entry in self._mapping.files:
            some = self._dated(entry, first, last) if entry.is_dated else self._undated(entry)
            for file in some:
                for table in {feed.table for feed in entry.feeds}:
                    if (file.name, table) in fed:
                        raise UserError(
                            f"{self._store.shown(file.name)} feeds {table} twice by {self._mapping_path}, so that its"
                            " rows could not be told apart: let no two patterns match the file."
                        )
                    fed.add((file.name, table))
            found += some
        return found

    def _undated(self, entry: FilesEntry) -> list[FoundFile]:
        names = self._store.matching(entry.pattern)
        if not names and not self._mapping.may_be_missing(entry):
            raise self._no_file(entry.pattern)
        return [FoundFile(entry, name, None) for name in names]

    def _dated(self, entry: FilesEntry, first: date | None, last: date | None) -> list[FoundFile]:
        before, kind, form, behind = placeholder(entry.pattern)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)] if first and last else []
        if days and len(days) <= _DAYS_ONE_BY_ONE:
            found = [
                FoundFile(entry, name, day)
                for day in days
                for name in self._store.matching(f"{before}{_day_text(day, kind, form)}{behind}")
            ]
        else:
            any_day = re.sub("(?:%.)+", "*", form) if kind == "date" else "*"
            # Two stars side by side would mean any folders.
            any_day = any_day.lstrip("*") if before.endswith("*") else any_day
            any_day = any_day.rstrip("*") if behind.startswith("*") else any_day
            text = day_form(form) if kind == "date" else r"-?\d+"
            shape = re.compile(f"{_glob(before)}({text}){_glob(behind)}", re.DOTALL)
            found = []
            for name in self._store.matching(f"{before}{any_day}{behind}"):
                match = shape.fullmatch(name)
                day = _day_of_text(match[1], kind, form) if match else None
                if day and (first is None or first <= day) and (last is None or day <= last):
                    found.append(FoundFile(entry, name, day))
            found.sort(key=lambda file: (file.day, file.name))
        if not self._mapping.may_be_missing(entry):
            present = {file.day for file in found}
            for day in days:
                if day not in present:
                    raise self._no_file(f"{before}{_day_text(day, kind, form)}{behind}", f" of {day}")
            if not found:
                raise self._no_file(entry.pattern)
        return found

    def _no_file(self, pattern: str, of_day: str = "") -> UserError:
        return UserError(
            f"No file{of_day} in {self._store} matches {pattern!r} of {self._mapping_path}: deliver it, name another"
            " folder, correct the pattern, or say no_file: empty_day there if that is no fault."
        )


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
