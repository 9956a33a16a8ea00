"""Batches from exports of Stripe in a folder: pages of its list of subscriptions, and its events.

A file is JSON (one object, an array, or pages as the API returns them) or JSON lines, each also as `.gz`. An object
names its own kind (`object`), so a file may contain several kinds:

* A subscription describes the present and does not say since when. Its batch is the day in the name of its file,
  `subscriptions-2025-01-31.json`; all files of a day are one list. The first list tells for every subscription what
  its dates tell. A later list tells what differs from the list before, and dates a change by its own day unless the
  object dates it.
* An event `customer.subscription.created`, `.updated` or `.deleted` tells the state after it and the state before.
  Its batch is the day on which it was created. Events may repeat, in any order and in any file.

Other objects become no row and are counted in `unmapped_events`: other events, objects of the other mode, and prices
and discounts that count nothing. A line that does not parse lands without ids, so that staging rejects it.

A row is named by `source_file`, the path below the folder, and `source_row` (see SubscriptionBatch).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from growth.errors import UserError
from growth.sources.contract import Source
from growth.sources.file_stores import FileStore, open_store
from growth.sources.stripe.batch import PreviousList, StripeBatch
from growth.sources.stripe.events import CREATED, EVENT_TYPES
from growth.sources.stripe.objects import StripeObject, about, day_of, id_of, moment, parse, start_of
from growth.sources.stripe.settings import Settings, load_settings
from growth.sources.stripe.subscriptions import is_wanted, state_of
from growth.sources.unpacking import Budget, readable

if TYPE_CHECKING:
    import pandas as pd

PATTERN = re.compile(r"\.(json|jsonl|ndjson)(\.gz)?$", re.IGNORECASE)

# Days whose events are in memory together, so that a file of events is read once for all of them.
_DAYS_AT_ONCE = 31

_DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


class FileSummary(NamedTuple):
    """The days that a file is about."""

    name: str
    list_day: date | None
    event_days: frozenset[date]


class StripeExports(Source):
    """The Source of the exports of Stripe below a folder or in a bucket.

    Memory holds the events of a month, and a list and the one before it, but no file of JSON lines as a whole. Files
    are read when a day is first asked for. Raises UserError.
    """

    name = "stripe"

    def __init__(self, location: str | Path, settings: Settings | None = None) -> None:
        self._store = open_store(location)
        self._settings = settings or load_settings()
        self._first_events: dict[str, tuple[int, int, str]] = {}

    @property
    def first_day(self) -> date:
        return min(self._days)

    @property
    def last_day(self) -> date:
        return max(self._days)

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        days = [day for day in self._days if first <= day <= last]
        for begin in range(0, len(days), _DAYS_AT_ONCE):
            batches = {day: StripeBatch(day, self._settings) for day in days[begin : begin + _DAYS_AT_ONCE]}
            self._add_events(batches)
            for day in list(batches):
                batch = batches.pop(day)
                batch.write_events(history_known=bool(self._lists) and self._lists[0] <= day)
                if day in self._lists:
                    self._write_list(batch)
                yield batch.frames()

    @cached_property
    def _files(self) -> list[FileSummary]:
        names = [name for name in self._store.matching("**/*") if PATTERN.search(name)]
        files = [self._summary(name) for name in names]
        if not any(f.list_day or f.event_days for f in files):
            raise UserError(
                f"No file in {self._store} has subscriptions or events of Stripe: deliver some as .json or .jsonl."
            )
        return files

    def _summary(self, name: str) -> FileSummary:
        list_day, days, malformed = None, set(), 0
        for each in read_objects(self._store, name):
            if each.content.get("object") == "subscription":
                list_day = list_day or _day_in_name(name, self._store.shown(name))
            elif each.content.get("object") == "event":
                if (created := moment(each.content.get("created"))) is not None:
                    days.add(day_of(created))
                    self._note_first(each.content, created)
                else:
                    malformed += 1
            elif not each.content:
                malformed += 1
        if malformed and not (list_day or days):
            shown = self._store.shown(name)
            raise UserError(f"No object of {shown} can be read as one of Stripe: deliver it again or remove it.")
        return FileSummary(name, list_day, frozenset(days))

    def _note_first(self, event: Mapping[str, Any], created: int) -> None:
        """Remember the first event of each subscription, which tells what was before it."""
        name = id_of(about(event))
        if event.get("type") in EVENT_TYPES and name is not None:
            order = (created, 0 if event.get("type") == CREATED else 1, id_of(event) or "")
            self._first_events[name] = min(self._first_events.get(name, order), order)

    @cached_property
    def _days(self) -> list[date]:
        return sorted({d for f in self._files for d in (*f.event_days, f.list_day) if d})

    @cached_property
    def _lists(self) -> list[date]:
        return sorted({f.list_day for f in self._files if f.list_day})

    def _add_events(self, batches: Mapping[date, StripeBatch]) -> None:
        """All events of some days, and the malformed objects of files whose last day of events is one of them."""
        for file in self._files:
            if file.event_days.isdisjoint(batches):
                continue
            last = batches.get(max(file.event_days))
            for each in read_objects(self._store, file.name):
                created = moment(each.content.get("created"))
                if each.content.get("object") == "event" and created is not None:
                    if batch := batches.get(day_of(created)):
                        batch.add_event(each, self._is_first(each.content))
                elif last and each.content.get("object") in ("event", None):
                    last.add_malformed(each.file, each.number)

    def _is_first(self, event: Mapping[str, Any]) -> bool:
        name = id_of(about(event))
        return name in self._first_events and self._first_events[name][2] == id_of(event)

    def _listed(self, day: date) -> Iterator[StripeObject]:
        for file in self._files:
            if file.list_day == day:
                for each in read_objects(self._store, file.name):
                    if each.content.get("object") == "subscription" or not each.content:
                        yield each

    def _write_list(self, batch: StripeBatch) -> None:
        number = self._lists.index(batch.day)
        before = None
        if number:
            day = self._lists[number - 1]
            states = {
                name: state_of(each.content, start_of(day), self._settings)[0]
                for each in self._listed(day)
                if (name := id_of(each.content)) and is_wanted(each.content, self._settings)
            }
            before = PreviousList(day, states, events_since=any(f.event_days for f in self._files))
        batch.write_list(self._listed(batch.day), before)


def read_objects(store: FileStore, name: str) -> Iterator[StripeObject]:
    """The objects of a file, with empty content for each that cannot be read. Raises UserError."""
    number = 0
    with text_of(store, name) as file:
        for value in _values(file, name, store.shown(name)):
            for each in _flat(value):
                number += 1
                yield StripeObject(name, number, each if isinstance(each, dict) else {})


@contextmanager
def text_of(store: FileStore, name: str, newline: str | None = None) -> Iterator[TextIO]:
    """A file as text, unpacked. Raises UserError if it cannot be read or changes meanwhile."""
    shown = store.shown(name)
    with store.unchanged(name) as file, readable(shown):
        budget = Budget(shown, store.size(name))
        data = budget.unpacked(file) if name.lower().endswith(".gz") else file
        try:
            yield io.TextIOWrapper(data, encoding="utf-8-sig", newline=newline)
        except UnicodeDecodeError:
            raise UserError(f"{shown} is not UTF-8: deliver it in UTF-8.") from None


def _values(file: TextIO, name: str, shown: str) -> Iterator[Any]:
    """The JSON values of a file; None for a line that is none."""
    lines: Iterable[str] = file
    if ".json" in Path(name.lower().removesuffix(".gz")).suffixes:
        text = file.read()
        try:
            yield parse(text)
            return
        except (ValueError, RecursionError) as error:
            # JSON lines in a file called .json: then the first line is complete.
            if not text.strip() or not _is_json(text.lstrip().split("\n", 1)[0]):
                raise UserError(f"{shown} is not JSON ({error}): deliver it again.") from None
        lines = text.split("\n")
    for line in lines:
        if line.strip():
            try:
                yield parse(line)
            except (ValueError, RecursionError):
                yield None


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except (ValueError, RecursionError):
        return False
    return True


def _flat(value: Any) -> Iterator[Any]:
    """The objects of arrays and pages, however nested."""
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, dict) and value.get("object") == "list":
        yield from _flat(value.get("data") if isinstance(value.get("data"), list) else [])
    else:
        yield value


def _day_in_name(name: str, shown: str) -> date:
    for year, month, day in reversed(_DATE.findall(name.rpartition("/")[2])):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    raise UserError(
        f"{shown} has subscriptions as they were on some day, and its name does not say on which:"
        " name it like subscriptions-2025-01-31.json."
    )
