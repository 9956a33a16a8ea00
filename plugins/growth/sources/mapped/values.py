"""From the rows of a file to the rows of the raw tables, column by column."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache, partial
from typing import Any, NamedTuple, Self

from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.mapping import Condition, Date, Feed, FieldPath, FilesEntry, Value
from growth.sources.mapped.moments import Moment, corrected, day_of, moment_reader

Texts = list[str | None]
Row = dict[str, Any]


class Malformed(dict):
    """A row that could be read only in part. Its ids cannot be trusted."""


class Number(float):
    """A number of a JSON file that keeps its text: 29.90, not 29.9."""

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


# --- Values as text ---

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def text_of(value: Any) -> str | None:
    """A typed value as text: days and moments in ISO, flags as true and false, nested values as JSON."""
    if type(value) is str:
        if value.isascii() and "\0" not in value:
            return value or None
        return UNSTORABLE.sub("\ufffd", value) or None
    match value:
        case None:
            return None
        case str():
            text = value
        case bytes():
            text = value.decode("utf-8", "replace")
        case Number():
            text = value.text
        case float():
            if math.isnan(value):  # a missing number
                return None
            # A column of whole numbers with gaps is stored as fractions: 7.0 was the id 7.
            text = str(int(value)) if value.is_integer() else repr(value)
        case date():
            text = value.isoformat()
        case bool() | list() | dict():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case _:
            text = str(value)
    return UNSTORABLE.sub("\ufffd", text) or None


def keys_of(path: FieldPath, is_nested: bool) -> tuple[str, ...]:
    """The keys that lead to a field. In a flat file, a dot is part of a column's name."""
    if isinstance(path, tuple):
        return path if is_nested else (".".join(path),)
    return tuple(path.split(".")) if is_nested else (path,)


def inside(value: Any, key: str) -> Any:
    """The value of a key of an object, or of an index of a list; None if there is none."""
    if type(value) is dict:
        return value.get(key)
    if type(value) is list and key.isdecimal() and len(key) < 10 and int(key) < len(value):
        return value[int(key)]
    return value.get(key) if isinstance(value, dict) else None


def _changed(texts: Texts, value: Value) -> Texts:
    """Texts after the changes that a value asks for: starting, not_starting, strip, values, otherwise, lower."""
    if value.starting:
        texts = [text if text and text.startswith(value.starting) else None for text in texts]
    if value.not_starting:
        texts = [None if text and text.startswith(value.not_starting) else text for text in texts]
    if value.strip:
        texts = [_stripped(text, value.strip) if text else text for text in texts]
    if value.values:
        known = {name: text or None for name, text in value.values.items()}

        def other(text: str) -> str | None:
            if value.otherwise is not None:
                return value.otherwise or None
            return text.lower() if value.lower else text

        return [text and (known[text] if text in known else other(text)) for text in texts]
    if value.lower:
        texts = [text and text.lower() for text in texts]
    return texts


def _stripped(text: str, start: str) -> str | None:
    while text.startswith(start):
        text = text[len(start) :]
    return text or None


# --- Rows of one file, or some of them ---


@lru_cache(maxsize=256)
def _reader(date_format: str, zone: str | None) -> Callable[[str], Moment | None]:
    return moment_reader(date_format, zone)


class Rows:
    """Some rows of a file and the values that a mapping makes of them. Each named value is made once."""

    def __init__(self, rows: Sequence[Row], entry: FilesEntry, is_nested: bool) -> None:
        self.rows = rows
        self.entry = entry
        self._is_nested = is_nested
        self._named: dict[FieldPath, Texts] = {}
        self._dates: dict[str, tuple[Texts, list[Moment | None]]] = {}
        self._whole: Rows | None = None
        self._positions: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, positions: Sequence[int]) -> Rows:
        """Only the rows at some positions."""
        if len(positions) == len(self.rows):
            return self
        rows = self.rows
        part = Rows([rows[position] for position in positions], self.entry, self._is_nested)
        # Fields that the whole has read already are not read again.
        part._whole, part._positions = self, positions
        return part

    def of(self, path: FieldPath) -> Texts:
        """The texts of a field of the file or of a named value."""
        found = self._named.get(path)
        if found is None:
            named = self.entry.fields.get(path) if isinstance(path, str) else None
            if self._whole is not None and path in self._whole._named:
                texts = self._whole._named[path]
                found = [texts[position] for position in self._positions]
            else:
                found = self.made(named) if named else self._read(keys_of(path, self._is_nested))
            self._named[path] = found
        return found

    def _read(self, keys: tuple[str, ...]) -> Texts:
        first, *others = keys
        values = [row.get(first) for row in self.rows]
        for key in others:
            values = [None if value is None else inside(value, key) for value in values]
        # Most values are ASCII text or None: they are not worth a function call.
        return [
            value or None
            if type(value) is str and value.isascii() and "\0" not in value
            else None
            if value is None
            else text_of(value)
            for value in values
        ]

    def made(self, value: Value) -> Texts:
        """The texts of one value."""
        if value.column is not None:
            texts = self.of(value.column)
        elif value.first:
            texts = self._first([partial(Rows.made, value=choice) for choice in value.first])
        elif value.constant:
            return [value.constant] * len(self)
        elif value.template:
            return self._filled(value)
        elif value.day:
            return [day_of(m) if m else text for text, m in zip(*self.date(value.day), strict=True)]
        else:
            return [m.isoformat() if m else text for text, m in zip(*self.date(value.moment), strict=True)]
        return _changed(texts, value) if value.is_changed else texts

    def _first(self, choices: Sequence[Callable[[Rows], Texts]]) -> Texts:
        """For each row the first text that is not empty; a choice is computed only for rows that still lack one."""
        texts = choices[0](self)
        for choice in choices[1:]:
            if not (missing := [n for n, text in enumerate(texts) if not text]):
                break
            texts = list(texts)
            for n, text in zip(missing, choice(self.some(missing)), strict=True):
                texts[n] = text
        return texts

    def _filled(self, value: Value) -> Texts:
        texts: Texts = [""] * len(self)
        for fixed, column, may_be_empty in value.pieces():
            if column is None:
                texts = [None if text is None else text + fixed for text in texts]
                continue
            parts = self.of(column)
            if may_be_empty:
                parts = [part or "" for part in parts]
            pairs = zip(texts, parts, strict=True)
            texts = [None if text is None or part is None else text + fixed + part for text, part in pairs]
        return texts

    def date(self, name: str) -> tuple[Texts, list[Moment | None]]:
        """A date of the mapping: its texts as they came and their moments; None for a text that cannot be read."""
        found = self._dates.get(name)
        if found is None:
            found = self._dates[name] = self._date(name, self.entry.dates[name])
        return found

    def _date(self, name: str, form: Date) -> tuple[Texts, list[Moment | None]]:
        if form.either:
            texts, moments = (list(part) for part in self.date(form.either[0]))
            for other in form.either[1:]:
                if not (missing := [n for n, text in enumerate(texts) if not text]):
                    break
                for n, text, moment in zip(missing, *self.some(missing).date(other), strict=True):
                    texts[n], moments[n] = text, moment
            return texts, moments
        texts = self._first([partial(Rows.of, path=path) for path in form.paths(name)])
        read = _reader(form.format, form.zone)
        distinct = {text: read(text) for text in set(texts) if text}  # dates repeat often
        moments = [distinct.get(text) for text in texts]
        if form.sent:
            clocks = zip(moments, self.date(form.sent)[1], self.date(form.received)[1], strict=True)
            moments = [corrected(own, sent, received, form.from_seconds) for own, sent, received in clocks]
        return texts, moments

    def holding(self, conditions: Sequence[Condition]) -> list[int]:
        """The positions of the rows for which all conditions hold."""
        positions: list[int] = list(range(len(self)))
        for condition in conditions:
            texts, holds = self._condition_texts(condition.column), _test(condition)
            positions = [position for position in positions if holds(texts[position])]
        return positions

    def _condition_texts(self, path: FieldPath) -> Texts:
        if isinstance(path, str) and path not in self.entry.fields and path in self.entry.dates:
            return self.date(path)[0]
        return self.of(path)


def _test(condition: Condition) -> Callable[[str | None], bool]:
    if condition.equals is not None:
        return lambda text: text == condition.equals
    if condition.differs is not None:
        return lambda text: text != condition.differs
    if condition.among is not None:
        return frozenset(condition.among).__contains__
    if condition.not_among is not None:
        return lambda text, none=frozenset(condition.not_among): text not in none
    if condition.exists is not None:
        return lambda text: bool(text) is condition.exists
    parts = [part.lower() for part in condition.containing or condition.not_containing]
    wanted = condition.containing is not None

    @lru_cache(maxsize=10_000)  # user agents and pages repeat often
    def has_one(text: str | None) -> bool:
        return (text is not None and any(part in text.lower() for part in parts)) is wanted

    return has_one


# --- Rows of the raw tables ---


class Mapped(NamedTuple):
    """The raw rows that some rows of a file become."""

    tables: dict[str, tuple[list[int], dict[str, Texts]]]
    """For each table the positions of the rows that feed it, and its columns."""
    unmapped: Counter[tuple[int, str]]
    """How many rows no rule maps, by batch and name of the event."""
    left_out: int
    """How many other rows no feed took."""


def map_rows(rows: Rows, batches: Sequence[Any]) -> Mapped:
    """The raw rows of some rows of a file, given their batches."""
    entry = rows.entry
    whole = [position for position, row in enumerate(rows.rows) if type(row) is not Malformed]
    malformed = [p for p, row in enumerate(rows.rows) if type(row) is Malformed] if len(whole) < len(rows) else []
    good = rows.some(whole)
    if entry.where:
        held = good.holding(entry.where)
        whole, good = [whole[n] for n in held], good.some(held)
    parts: dict[str, list[tuple[list[int], dict[str, Texts]]]] = defaultdict(list)
    taken: dict[str, set[int]] = defaultdict(set)
    unmapped: list[int] = []
    counted: Counter[tuple[int, str]] = Counter()
    landed: set[int] = set()
    for number, feed in enumerate(entry.feeds):
        positions, found = (sorted(unmapped), rows.some(sorted(unmapped))) if feed.unmapped else (whole, good)
        already = taken[feed.table]
        if feed.where or already:
            held = [n for n in found.holding(feed.where) if positions[n] not in already]
            positions, found = [positions[n] for n in held], found.some(held)
        given: dict[str, Texts] = {}
        if feed.rules:
            names, mapped, given = _ruled(found, feed)
            if len(mapped) < len(positions):
                chosen = set(mapped)
                for n, position in enumerate(positions):
                    if n not in chosen:
                        unmapped.append(position)
                        counted[batches[position], (names[n] or "(no name)")[:200]] += 1
                positions, found = [positions[n] for n in mapped], found.some(mapped)
        if any(later.table == feed.table for later in entry.feeds[number + 1 :]):
            taken[feed.table].update(positions)
        landed.update(positions)
        if positions:
            parts[feed.table].append((positions, _columns(found, feed) | given))
    for feed in _feeds_of_malformed(entry) if malformed else ():
        columns = _columns(rows.some(malformed), feed)
        columns = {name: [None] * len(malformed) if name.endswith("_id") else texts for name, texts in columns.items()}
        parts[feed.table].append((malformed, columns))
    return Mapped(
        {table: _joined(table, some) for table, some in parts.items()},
        counted,
        len(rows) - len(landed) - len(malformed) - sum(position not in landed for position in unmapped),
    )


def _feeds_of_malformed(entry: FilesEntry) -> list[Feed]:
    """Feeds for malformed rows: those that take every row, or else the first."""
    return [feed for feed in entry.feeds if feed.takes_every_row] or [entry.feeds[0]]


def _columns(rows: Rows, feed: Feed) -> dict[str, Texts]:
    return {name: rows.made(value) for name, value in feed.columns.items()}


def _ruled(rows: Rows, feed: Feed) -> tuple[Texts, list[int], dict[str, Texts]]:
    """The names of the events, the positions of those that a rule maps, and the columns that the rules give them."""
    names = rows.of(feed.event)
    by_name: dict[str | None, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        by_name[name].append(position)
    types: dict[int, str] = {}
    features: dict[int, str | None] = {}
    for rule in feed.rules:
        wanted = by_name if "*" in rule.event else [name for name in rule.event if name in by_name]
        positions = [position for name in wanted for position in by_name[name] if position not in types]
        if rule.where:
            positions = [positions[n] for n in rows.some(positions).holding(rule.where)] if positions else []
        types.update(dict.fromkeys(positions, rule.type))
        if rule.feature and positions:
            features.update(zip(positions, rows.some(positions).made(rule.feature), strict=True))
    mapped = sorted(types)
    return (
        names,
        mapped,
        {
            "event_type": [types[position] for position in mapped],
            "feature_name": [features.get(position) for position in mapped],
        },
    )


def _joined(table: str, parts: list[tuple[list[int], dict[str, Texts]]]) -> tuple[list[int], dict[str, Texts]]:
    positions: list[int] = []
    columns: dict[str, Texts] = {name: [] for name in RAW_COLUMNS[table]}
    for some, given in parts:
        positions += some
        for name, texts in columns.items():
            texts += given.get(name) or [None] * len(some)
    return positions, columns
