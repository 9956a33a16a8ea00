"""Batches from exports of Stripe in a folder: pages of its list of subscriptions, and its events.

A file is JSON (one object, an array, or pages as the API hands them out) or JSON lines, either also `.gz`. What an
object is stands in it (`object`), so that a file may hold several kinds:

* A subscription says what is, and not since when that has been so. Its batch is the day in the name of its file,
  `subscriptions-2025-01-31.json`; all files of a day are one list. The first list tells of every subscription what its
  dates tell. A later one tells what differs from the list before, and dates it by its own day where the object
  does not.
* An event `customer.subscription.created`, `.updated` or `.deleted` says what was after it, and what was before. Its
  batch is the day on which it was created. Events may repeat and lie in any order and in any file.

Whatever else there is becomes no row but is counted (`unmapped_events`): other events, objects of the other mode, and
prices and discounts that count nothing. A line that does not parse lands without ids, so that staging rejects it.

A row is named by `source_file`, the path below the folder, and `source_row`: the number of the object in the file
times ten, and the number of its state.

Why Python and no mapping: see `growth.sources.stripe.subscriptions`.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from growth.errors import UserError, one_line
from growth.language import definitions
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.sources.mapped.formats import FREE_BYTES
from growth.sources.places import Place, place_of
from growth.sources.stripe.subscriptions import (
    CREATED,
    EVENT_TYPES,
    Change,
    Settings,
    Since,
    State,
    change_of,
    id_of,
    in_order,
    is_wanted,
    link_of,
    load_settings,
    moment,
    object_before,
    record,
    state_of,
    states_behind,
    states_of_changes,
)

if TYPE_CHECKING:
    import pandas as pd

PATTERN = re.compile(r"\.(json|jsonl|ndjson)(\.gz)?$", re.IGNORECASE)

# Of so many days the events are in memory together: a file of events is read once for them.
_DAYS_AT_ONCE = 31

# A packed file that becomes more times larger than this is made to fill a disk.
MAX_GROWTH = 200

_DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


class Placed(NamedTuple):
    """An object and its place: the path below the folder, its number in the file from 1."""

    file: str
    number: int
    object: Mapping[str, Any]


class Before(NamedTuple):
    """The list before a list; where there have been events since, it is not what was said last."""

    day: date
    states: Mapping[str, State]
    events_since: bool


class Seen(NamedTuple):
    """What a file has, found out without keeping it."""

    name: str
    list_day: date | None
    event_days: frozenset[date]


class StripeFiles:
    """The Source of the exports of Stripe below a folder, or in a bucket.

    Memory holds what the events of a month say, and a list and the one before it; no file of JSON lines whole. Files
    are read when a day is first asked for. Raises UserError.
    """

    name = "stripe"

    def __init__(self, place: str | Path, settings: Settings | None = None) -> None:
        self._place = place_of(place)
        self._settings = settings or load_settings()

    @property
    def first_day(self) -> date:
        return min(self._days)

    @property
    def last_day(self) -> date:
        return max(self._days)

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        """The batches of the days from first to last, one after the other, as `growth.sources.Source` says."""
        days = [day for day in self._days if first <= day <= last]
        for begin in range(0, len(days), _DAYS_AT_ONCE):
            batches = {day: Batch(day, self._settings) for day in days[begin : begin + _DAYS_AT_ONCE]}
            self._add_events(batches)
            for day in list(batches):
                batch = batches.pop(day)
                # Where a list came first, it has told what was before all events.
                told = bool(self._lists) and self._lists[0] <= day
                batch.tell_events(told)
                if day in self._lists:
                    self._tell_list(batch)
                yield batch.frames()

    @cached_property
    def _files(self) -> list[Seen]:
        names = [name for name in self._place.matching("**/*") if PATTERN.search(name)]
        files = [self._seen(name) for name in names]
        if not any(f.list_day or f.event_days for f in files):
            raise UserError(
                f"No file in {self._place} has subscriptions or events of Stripe: deliver some as .json or .jsonl."
            )
        return files

    def _seen(self, name: str) -> Seen:
        list_day, days, malformed = None, set(), 0
        for placed in read_objects(self._place, name):
            each = placed.object
            if each.get("object") == "subscription":
                list_day = list_day or _day_in_name(name, self._place.shown(name))
            elif each.get("object") == "event":
                if (created := moment(each.get("created"))) is not None:
                    days.add(day_of(created))
                    self._note_first(each, created)
                else:
                    malformed += 1
            elif not each:
                malformed += 1
        if malformed and not (list_day or days):
            shown = self._place.shown(name)
            raise UserError(f"No object of {shown} can be read as one of Stripe: deliver it again or take it away.")
        return Seen(name, list_day, frozenset(days))

    def _note_first(self, event: Mapping[str, Any], created: int) -> None:
        """Remember the first event of each subscription: only that one tells what was before it from the start."""
        about = id_of(record(event.get("data")).get("object"))
        if event.get("type") in EVENT_TYPES and about is not None:
            place = (created, 0 if event.get("type") == CREATED else 1, id_of(event) or "")
            self._first_events[about] = min(self._first_events.get(about, place), place)

    @cached_property
    def _first_events(self) -> dict[str, tuple[int, int, str]]:
        return {}

    @cached_property
    def _days(self) -> list[date]:
        return sorted({d for f in self._files for d in (*f.event_days, f.list_day) if d})

    @cached_property
    def _lists(self) -> list[date]:
        return sorted({f.list_day for f in self._files if f.list_day})

    # --- Events ---

    def _add_events(self, batches: Mapping[date, Batch]) -> None:
        """All events of some days, and the malformed objects of the files whose last day of events is one of them."""
        for file in self._files:
            if file.event_days.isdisjoint(batches):
                continue
            last = batches.get(max(file.event_days))
            for placed in read_objects(self._place, file.name):
                created = moment(placed.object.get("created"))
                if placed.object.get("object") == "event" and created is not None:
                    if batch := batches.get(day_of(created)):
                        batch.add_event(placed, self._is_first(placed.object))
                elif last and placed.object.get("object") in ("event", None):
                    last.add_malformed(placed)

    def _is_first(self, event: Mapping[str, Any]) -> bool:
        about = id_of(record(event.get("data")).get("object"))
        return about in self._first_events and self._first_events[about][2] == id_of(event)

    # --- Lists ---

    def _listed(self, day: date) -> Iterator[Placed]:
        for file in self._files:
            if file.list_day == day:
                yield from (
                    placed
                    for placed in read_objects(self._place, file.name)
                    if placed.object.get("object") == "subscription" or not placed.object
                )

    def _tell_list(self, batch: Batch) -> None:
        place = self._lists.index(batch.day)
        before = None
        if place:
            day = self._lists[place - 1]
            states = {
                about: state_of(placed.object, start_of(day), self._settings)[0]
                for placed in self._listed(day)
                if (about := id_of(placed.object)) and is_wanted(placed.object, self._settings)
            }
            before = Before(day, states, events_since=any(f.event_days for f in self._files))
        batch.tell_list(self._listed(batch.day), before)


def read_objects(place: Place, name: str) -> Iterator[Placed]:
    """The objects of a file, an empty one for each that cannot be read. Raises UserError."""
    number = 0
    with text_of(place, name) as file:
        for value in _values(file, name, place.shown(name)):
            for each in _flat(value):
                number += 1
                yield Placed(name, number, each if isinstance(each, dict) else {})


@contextmanager
def text_of(place: Place, name: str, newline: str | None = None) -> Iterator[TextIO]:
    """A file as text, unpacked. What is wrong with it, and that it changed meanwhile, is a UserError."""
    shown, stamp, size = place.shown(name), place.stamp(name), place.size(name)
    try:
        with place.open(name) as file:
            data = gzip.GzipFile(fileobj=file) if name.lower().endswith(".gz") else file
            unpacked = io.BufferedReader(_Unpacked(data, shown, max(FREE_BYTES, MAX_GROWTH * size)))
            yield io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline=newline)
    except UnicodeDecodeError:
        raise UserError(f"{shown} is not UTF-8: deliver it in UTF-8.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{shown} cannot be read whole, deliver it again: {one_line(error)[:120]}.") from None
    if place.stamp(name) != stamp:
        raise UserError(f"{shown} changed while it was read: wait until it is whole, then run again.")


class _Unpacked(io.RawIOBase):
    """What comes out of a file, up to so many bytes."""

    def __init__(self, data: Any, shown: str, left: int) -> None:
        self._data, self._shown, self._left = data, shown, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise UserError(
                f"{self._shown} becomes more than {MAX_GROWTH} times larger when it is unpacked, as files do that are"
                " made to fill a disk: see who made it, and deliver it unpacked where it is right."
            )
        buffer[: len(data)] = data
        return len(data)


def parse(text: str | bytes) -> Any:
    """JSON with fractions as they are written. Raises ValueError."""
    return json.loads(text, parse_float=Decimal, parse_constant=str)


def _values(file: TextIO, name: str, shown: str) -> Iterator[Any]:
    lines: Iterable[str] = file
    if ".json" in Path(name.lower().removesuffix(".gz")).suffixes:
        text = file.read()
        try:
            yield parse(text)
            return
        except (ValueError, RecursionError) as error:
            # JSON lines under the name of JSON: its first line is whole.
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
    """The objects of an array and of pages, however nested."""
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, dict) and value.get("object") == "list":
        yield from _flat(value.get("data") if isinstance(value.get("data"), list) else [])
    else:
        yield value


def day_of(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def start_of(day: date) -> int:
    """The first second of a day in UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


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


def _about(placed: Placed) -> Placed:
    """The subscription that an event is about, in its place."""
    return placed._replace(object=record(record(placed.object.get("data")).get("object")))


class Batch:
    """The rows of one batch, while they are found."""

    def __init__(self, day: date, settings: Settings) -> None:
        self.day = day
        self._settings = settings
        self._rows: list[tuple[Any, ...]] = []
        self._links: dict[str, tuple[Any, ...]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._changes: dict[str, list[tuple[Change, Placed]]] = defaultdict(list)
        self._event_ids: set[str] = set()

    def add_malformed(self, placed: Placed) -> None:
        self._rows.append((placed.file, placed.number * 10, *(None for _ in RAW_COLUMNS["raw_subscriptions"])))

    def add_event(self, placed: Placed, is_first: bool = False) -> None:
        """An event of this batch, the first of its subscription or not; the same one again is nothing new."""
        event, about = placed.object, record(record(placed.object.get("data")).get("object"))
        event_id = id_of(event)
        if event_id is not None:
            if event_id in self._event_ids:
                return
            self._event_ids.add(event_id)
        if event.get("type") not in EVENT_TYPES:
            self._count(placed, str(event.get("type")))
        elif not is_wanted({"livemode": event.get("livemode", about.get("livemode"))}, self._settings):
            self._count_mode(placed)
        elif (change := change_of(event, self._settings)) is None:
            self.add_malformed(placed)
        else:
            if not is_first:  # who may be many thousand need not be kept whole
                change = change._replace(object_before=None)
            self._changes[change.after.subscription_id or ""].append((change, placed._replace(object={})))
            self._link(placed, about)
            for remark in change.remarks:
                self._count(placed, remark)

    def tell_events(self, told: bool = True) -> None:
        """Rows for all events that were added; where nothing was told before, a first one tells what its dates tell."""
        for changes in self._changes.values():
            places = {change.event_id: placed for change, placed in changes}
            ordered = in_order(change for change, _ in changes)
            numbers: Counter[str] = Counter()
            for change in ordered:
                if change.object_before is not None and not told:
                    for since in states_behind(change.object_before, change.created - 1, self._settings):
                        at_ms = since.at_ms and min(since.at_ms, change.created * 1000 - 1)
                        self._row(places[change.event_id], numbers, since._replace(at_ms=at_ms))
            for change, since in states_of_changes(ordered):
                self._row(places[change.event_id], numbers, since)

    def tell_list(self, subscriptions: Iterator[Placed], before: Before | None) -> None:
        """Rows for a list of subscriptions: the first one, or one after another."""
        start = start_of(self.day)
        known = before.states if before else {}
        missing = {about for about, state in known.items() if state.end_date is None}
        seen: set[str] = set()
        for placed in subscriptions:
            about = id_of(placed.object)
            if about is None:
                self.add_malformed(placed)
                continue
            missing.discard(about)
            if about in seen:  # the pages of a list overlap where subscriptions were made while it was read
                continue
            seen.add(about)
            if not self._is_wanted(placed):
                continue
            self._link(placed, placed.object)
            state = self._state(placed, start)
            if before is None or about not in known:
                states = states_behind(placed.object, start, self._settings)
                # What is said of a day has begun by its end, whatever the dates of the object say.
                end_ms = (start + 86_400) * 1000 - 1
                self._rows_of(placed, (s._replace(at_ms=s.at_ms and min(s.at_ms, end_ms)) for s in states))
            elif state != known[about] or before.events_since:
                *_, latest = states_behind(placed.object, start, self._settings)
                dated = latest.at_ms if state.status != known[about].status else None
                if dated is None or dated < start_of(before.day) * 1000:
                    dated = start * 1000
                self._rows_of(placed, [Since(state, dated)])
        if missing:
            self._counts[("", "subscription missing from a later list: export with status=all")] += len(missing)

    def tell_pull(self, pulled: list[Placed], is_first: bool, known: frozenset[str]) -> None:
        """Rows for a list that the API gave, with all events of the days before and since, up to the end of this day.

        What events since say is taken back; what those of the days before say dates it. Known are the events that have
        been told by earlier batches.
        """
        end = start_of(self.day) + 86_400
        events: dict[str, list[tuple[Change, Placed]]] = defaultdict(list)
        for placed in pulled:
            if placed.object.get("object") == "event" and placed.object.get("type") in EVENT_TYPES:
                change = change_of(placed.object, self._settings)
                if change is not None and change.event_id not in self._event_ids:
                    self._event_ids.add(change.event_id)
                    events[change.after.subscription_id or ""].append((change, placed))
        for placed in pulled:
            about = id_of(placed.object)
            if placed.object.get("object") != "subscription" or about is None or not self._is_wanted(placed):
                continue
            self._tell_pulled(placed, events.pop(about, []), end, is_first, known)
        for about in events:  # made while the list was read
            told = [(change, placed) for change, placed in events[about] if change.created < end]
            self._changes[about] = [(c, p) for c, p in told if c.event_id not in known and self._is_wanted(_about(p))]
        self.tell_events()
        self._changes.clear()

    def _tell_pulled(
        self, placed: Placed, events: list[tuple[Change, Placed]], end: int, is_first: bool, known: frozenset[str]
    ) -> None:
        places = {change.event_id: place for change, place in events}
        ordered = in_order(change for change, _ in events)
        at_end = base = placed.object
        for number in reversed(range(len(ordered))):
            event = places[ordered[number].event_id]
            status = _about(places[ordered[number - 1].event_id]).object.get("status") if number else None
            base = object_before(base, event.object, status) or base
            if ordered[number].created >= end:
                at_end = object_before(at_end, event.object, status) or at_end
        told = [change for change in ordered if change.created < end]
        since_created = any(change.kind == CREATED for change in ordered)
        if (since_created and not told) or (moment(placed.object.get("created")) or 0) >= end:
            return  # it began after this batch, which later ones say
        self._link(placed, at_end)
        numbers: Counter[str] = Counter()
        latest: State | None = None
        if is_first and not since_created:
            begun = min((change.created for change in ordered), default=end)
            for since in states_behind(base, begun - 1, self._settings):
                at_ms = since.at_ms and min(since.at_ms, begun * 1000 - 1)
                self._row(placed, numbers, since._replace(at_ms=at_ms))
                latest = since.state
        for change, since in states_of_changes(told):
            if change.event_id not in known:
                self._row(places[change.event_id], numbers, since)
            latest = since.state
        state = self._state(placed, end - 1, at_end)
        if state != latest:
            # Not all that happened is among the events.
            self._row(placed, numbers, Since(state, end * 1000 - 1))

    def frames(self) -> dict[str, pd.DataFrame]:
        import pandas as pd

        def frame(table: str, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
            whole = [(self.day.isoformat(), *row) for row in rows]
            found = pd.DataFrame(whole, columns=[*ARRIVAL_COLUMNS, *RAW_COLUMNS[table]], dtype=object)
            return found.astype({"source_row": "int64"})

        counts = [(self.day.isoformat(), file, name, rows) for (file, name), rows in sorted(self._counts.items())]
        return {
            "raw_subscriptions": frame("raw_subscriptions", sorted(self._rows, key=lambda row: row[:2])),
            "raw_links": frame("raw_links", list(self._links.values())),
            UNMAPPED: pd.DataFrame(counts, columns=list(UNMAPPED_COLUMNS)),
        }

    def _row(self, placed: Placed, numbers: Counter[str], since: Since) -> None:
        place = f"{placed.file}:{placed.number}"
        numbers[place] += 1
        self._rows.append((placed.file, placed.number * 10 + numbers[place], *since.row()))

    def _rows_of(self, placed: Placed, states: Any) -> None:
        numbers: Counter[str] = Counter()
        for since in states:
            self._row(placed, numbers, since)

    def _state(self, placed: Placed, at: int, instead: Mapping[str, Any] | None = None) -> State:
        state, remarks = state_of(instead or placed.object, at, self._settings)
        for remark in remarks:
            self._count(placed, remark)
        return state

    def _is_wanted(self, placed: Placed) -> bool:
        wanted = is_wanted(placed.object, self._settings)
        if not wanted:
            self._count_mode(placed)
        return wanted

    def _count_mode(self, placed: Placed) -> None:
        self._count(placed, f"livemode is not {'false' if self._settings.mode == 'test' else 'true'}")

    def _count(self, placed: Placed, name: str) -> None:
        self._counts[(placed.file, name)] += 1

    def _link(self, placed: Placed, subscription: Mapping[str, Any]) -> None:
        link = link_of(subscription, self._settings)
        if link is not None and link[0] not in self._links:
            self._links[str(link[0])] = (placed.file, placed.number * 10, *link)


def open_exports(_name: str, place: str, _environment: Mapping[str, str]) -> StripeFiles:
    """SOURCE=stripe: the exports lie below a folder, or in a bucket. Raises UserError."""
    if not place:
        raise UserError("The source stripe reads files: say in which folder or bucket they lie, with DATA=<folder>.")
    return StripeFiles(place, load_settings(words=definitions.load()))
