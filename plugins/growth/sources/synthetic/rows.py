"""An invented company to try the pipeline on: years of visits, signups, use and payments, with the usual dirt.

parameters.py holds how its people behave and world.py plays that out in numbers. This module makes rows of them: when
each arrives, which arrive late, twice or malformed, and their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache

import numpy as np
import pandas as pd

from growth.days import Days
from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.sources.contract import Source
from growth.sources.synthetic import world
from growth.sources.synthetic.parameters import CHANNELS, DIRT, NO_DIRT, PARAMETERS, Dirt
from growth.sources.synthetic.world import NEVER, Table, stack, take

WORLD_START = date(2024, 11, 1)

GOOD, REPEATED, BROKEN = range(3)
"""The values of a row's column `copy`."""

GROWTH_STEP = 30
"""Days for which people are made at once, so that reading day by day does not copy all tables each day."""

UNREADABLE, FUTURE = "2026-13-45", "2099-01-01"
FAULTS: dict[str, tuple[dict[str, str], ...]] = {
    "raw_users": (
        {"user_id": ""},
        {"signup_date": UNREADABLE},
        {"signup_date": "not a date"},
        {"signup_date": FUTURE},
    ),
    "raw_events": (
        {"user_id": ""},
        {"event_date": UNREADABLE, "event_timestamp": f"{UNREADABLE}T12:00:00Z"},
        {"event_date": "not a date", "event_timestamp": "not a date"},
        {"event_date": FUTURE, "event_timestamp": f"{FUTURE}T12:00:00Z"},
        {"event_type": "page_ping"},
    ),
    "raw_subscriptions": (
        {"user_id": ""},
        {"start_date": UNREADABLE},
        {"start_date": FUTURE},
        {"end_date": "2000-01-01"},
        {"plan_name": "Platinum"},
        {"mrr": "-29.00"},
        {"mrr": "n/a"},
    ),
}
"""The text of a malformed copy in place of the good one. Each fault alone makes the row unusable."""

GIVEN_NAMES = ("alma", "bruno", "chidi", "dana", "emre", "freya", "hana", "ivo", "june", "kofi", "lena", "mara", "noor")
FAMILY_NAMES = ("abara", "berg", "costa", "dahl", "evans", "fischer", "garcia", "haddad", "ito", "jansen", "kaur")


class Synthetic(Source):
    """The batches of an invented company. A batch depends only on seed, scale, start, dirt and its date.

    At scale 1 the first two years have about 25,000 visitors, 10,000 signups and 115,000 events.

    Args:
        seed: another seed is another company of the same kind; 0 or above.
        scale: the number of people relative to these; above 0.
        start: the company's first day. Batches before it are empty.
        dirt: the shares of late, repeated and malformed rows; NO_DIRT is the same company without them.
    """

    last_day: date | None = None

    def __init__(self, seed: int = 1, scale: float = 1.0, start: date = WORLD_START, dirt: Dirt = DIRT) -> None:
        if seed < 0 or not 0 < scale <= 10_000:
            raise UserError(
                f"The synthetic source takes a seed from 0 and a scale up to 10000: not {seed} and {scale}."
            )
        self.name = f"synthetic (seed {seed}, scale {scale:g})"
        if start != WORLD_START:
            self.name += f" from {start}"
        if dirt != DIRT:
            self.name += " without dirt" if dirt == NO_DIRT else f" with {dirt}"
        self.first_day = start
        self._scale = scale
        self._dirt = dirt
        self._dice = world.Dice(seed)
        # For the people who came before the day _known: the users, and all rows that they ever cause except activity.
        self._known = 0
        self._users: Table = {}
        self._rows: dict[str, Table] = {}
        # By day, the rows of its activity that did not arrive on that day.
        self._stragglers: dict[int, Table] = {}

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        for part in Days(first, last).by_month():
            yield self.read(part.first, part.last)

    def read(self, first: date, last: date) -> dict[str, pd.DataFrame]:
        """All rows that arrive from first to last, in one frame for each raw table that has any. Times are UTC."""
        first_day, last_day = (first - self.first_day).days, (last - self.first_day).days
        self._grow(last_day)
        arrived = {name: _arrived(rows, first_day, last_day) for name, rows in self._rows.items()}
        arrived["raw_events"] = stack([arrived["raw_events"], *self._activity(first_day, last_day)])
        return {name: self._frame(name, rows) for name, rows in arrived.items()}

    def _grow(self, last_day: int) -> None:
        """Make the missing people of all days up to last_day, and the rows that they will cause."""
        known = (max(last_day, 0) // GROWTH_STEP + 1) * GROWTH_STEP
        if known <= self._known:
            return
        people = world.visitors(self._dice, self._scale, self.first_day.weekday(), self._known, known - 1)
        users = world.signups(self._dice, people)
        rows = {
            "raw_users": self._deliver_users(users),
            "raw_events": self._deliver_events(world.milestones(self._dice, people, users)),
            "raw_subscriptions": self._deliver_subscriptions(world.subscriptions(users)),
        }
        if self._known > 0:
            users = stack([self._users, users])
            rows = {name: stack([self._rows[name], rows[name]]) for name in rows}
        self._users, self._rows = users, rows
        self._known = known

    def _activity(self, first_day: int, last_day: int) -> Iterator[Table]:
        """What arrives on these days of their own activity and, late, of the days before."""
        longest_delay = self._dirt.late_event_days[1] + self._dirt.repeat_days_max
        for day in range(max(first_day - longest_delay, 0), last_day + 1):
            rows = self._stragglers.get(day) if day < first_day else None
            if rows is None:
                weekday = (self.first_day.weekday() + day) % 7
                rows = self._deliver_events(world.activity(self._dice, self._users, weekday, day))
                self._stragglers[day] = take(rows, rows["arrival"] > day)
            yield _arrived(rows, first_day, last_day)

    def _deliver_events(self, events: Table) -> Table:
        """Events with their dirt: each row gets its day of arrival and its kind of copy."""
        dirt, uid = self._dirt, events["uid"]
        occasion = events["day"] * len(world.KINDS) + events["kind"]
        late = self._dice("late event", uid, occasion) < dirt.late_events
        delay = _delay(self._dice("delay of event", uid, occasion), dirt.late_event_days)
        events = events | {"arrival": events["day"] + np.where(late, delay, 0)}
        again = take(events, self._dice("repeated event", uid, occasion) < dirt.repeated_events)
        gap = self._dice("gap to repetition", again["uid"], again["day"]) * (dirt.repeat_days_max + 1)
        again["arrival"] = again["arrival"] + gap.astype(np.int32)
        return stack([self._with_broken("raw_events", events, occasion), _marked(again, REPEATED)])

    def _deliver_users(self, users: Table) -> Table:
        """User rows, one for each signup, some of them late, with malformed copies."""
        dirt, uid = self._dirt, users["uid"]
        late = self._dice("late user", uid) < dirt.late_users
        delay = _delay(self._dice("delay of user", uid), dirt.late_user_days)
        rows = {name: users[name] for name in ("uid", "channel", "campaign", "first_visit_day", "signup_day")}
        return self._with_broken("raw_users", rows | {"arrival": users["signup_day"] + np.where(late, delay, 0)}, 0)

    def _deliver_subscriptions(self, rows: Table) -> Table:
        """Subscription rows with malformed copies. None is late, because the latest arrival counts."""
        rows = rows | {"arrival": rows["day"]}
        return self._with_broken("raw_subscriptions", rows, rows["part"] * len(world.STATUSES) + rows["status"])

    def _with_broken(self, name: str, rows: Table, occasion: np.ndarray | int) -> Table:
        broken = self._dice(f"malformed in {name}", rows["uid"], occasion) < self._dirt.malformed
        return stack([_marked(rows, GOOD), _marked(take(rows, broken), BROKEN)])

    def _frame(self, name: str, rows: Table) -> pd.DataFrame:
        """The rows as text, by batch and ORDER, copies after their original."""
        rows = take(rows, np.lexsort([rows[key] for key in ("copy", *reversed(ORDER[name]), "arrival")]))
        count = len(rows["uid"])
        columns = {
            "batch_date": _dates(self.first_day, rows["arrival"]),
            "source_file": np.full(count, "synthetic", dtype=object),
            "source_row": 1 + np.arange(count) - np.searchsorted(rows["arrival"], rows["arrival"]),
        } | TEXTS[name](self.first_day, rows)
        self._spoil(name, columns, rows)
        names = (*ARRIVAL_COLUMNS, *RAW_COLUMNS[name])
        # Without a dtype, pandas would use its own strings for object columns, and nan for None.
        none = np.full(count, None, dtype=object)
        values = {name: columns.get(name, none) for name in names}
        return pd.DataFrame({name: pd.Series(value, dtype=value.dtype) for name, value in values.items()})

    def _spoil(self, name: str, columns: dict[str, np.ndarray], rows: Table) -> None:
        """Give each broken copy its own id and one fault, in place."""
        broken = np.flatnonzero(rows["copy"] == BROKEN)
        ids = columns[RAW_COLUMNS[name][0]]
        ids[broken] = ids[broken] + "-x"
        faults = FAULTS[name]
        luck = self._dice(f"fault in {name}", rows["uid"][broken], rows["arrival"][broken])
        for row, fault in zip(broken, (luck * len(faults)).astype(int), strict=True):
            for column, text in faults[fault].items():
                columns[column][row] = text


def _users(start: date, rows: Table) -> dict[str, np.ndarray]:
    given, family = rows["uid"] * 7 % len(GIVEN_NAMES), rows["uid"] * 3 % len(FAMILY_NAMES)
    emails = (
        f"{GIVEN_NAMES[first]}.{FAMILY_NAMES[last]}.{uid}@example.com"
        for first, last, uid in zip(given.tolist(), family.tolist(), rows["uid"].tolist(), strict=True)
    )
    source, campaign = _utm(rows)
    return {
        "user_id": _user_ids(rows),
        "signup_date": _dates(start, rows["signup_day"]),
        "email": _objects(emails),
        "utm_source": source,
        "utm_campaign": campaign,
        "first_visit_date": _dates(start, rows["first_visit_day"]),
    }


def _events(start: date, rows: Table) -> dict[str, np.ndarray]:
    dates, kinds = _dates(start, rows["day"]), rows["kind"]
    compact = _dates(start, rows["day"], dashes=False)
    ids = zip(compact.tolist(), rows["uid"].tolist(), kinds.tolist(), strict=True)
    source, campaign = _utm(rows)
    return {
        "event_id": _objects(f"e{day}-{uid:010d}-{kind:02d}" for day, uid, kind in ids),
        "user_id": _user_ids(rows),
        "event_type": _objects(event_type for event_type, _ in world.KINDS)[kinds],
        "event_date": dates,
        "event_timestamp": dates + _clock()[rows["second"]],
        "feature_name": _objects(feature for _, feature in world.KINDS)[kinds],
        "utm_source": source,
        "utm_campaign": campaign,
    }


def _subscriptions(start: date, rows: Table) -> dict[str, np.ndarray]:
    ids = zip(rows["uid"].tolist(), rows["part"].tolist(), strict=True)
    prices = _objects(price for _, price, _ in PARAMETERS.plans)[rows["plan"]]
    prices[rows["status"] == world.TRIAL] = "0.00"
    return {
        "subscription_id": _objects(f"s{uid:010d}-{part}" for uid, part in ids),
        "user_id": _user_ids(rows),
        "plan_name": _objects(plan for plan, _, _ in PARAMETERS.plans)[rows["plan"]],
        "start_date": _dates(start, rows["start_day"]),
        "end_date": _dates(start, rows["end_day"]),
        "mrr": prices,
        "status": _objects(world.STATUSES)[rows["status"]],
        "currency": np.full(len(prices), "USD", dtype=object),
    }


TEXTS = {"raw_users": _users, "raw_events": _events, "raw_subscriptions": _subscriptions}
"""For each table, the function from rows to columns of text."""

ORDER = {"raw_users": ("uid",), "raw_events": ("day", "uid", "kind"), "raw_subscriptions": ("uid", "part", "status")}
"""The key of each table. Rows of a batch come in this order, which is the order of their ids."""


def _arrived(rows: Table, first_day: int, last_day: int) -> Table:
    return take(rows, (rows["arrival"] >= first_day) & (rows["arrival"] <= last_day))


def _marked(rows: Table, copy: int) -> Table:
    return rows | {"copy": np.full(len(rows["uid"]), copy, dtype=np.int8)}


def _delay(u: np.ndarray, days: tuple[int, int]) -> np.ndarray:
    """Days from the first to the last, both included; short delays are more frequent."""
    return (days[0] + (days[1] - days[0] + 1) * u * u).astype(np.int32)


def _objects(texts: Iterable[str | None]) -> np.ndarray:
    """Text as an array of objects, shape (rows,), which keeps None and is fast to index and to join."""
    texts = list(texts)
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def _user_ids(rows: Table) -> np.ndarray:
    return _objects(f"u{uid:010d}" for uid in rows["uid"].tolist())


def _utm(rows: Table) -> tuple[np.ndarray, np.ndarray]:
    """Source and campaign as text; None for -1."""
    most = max(len(channel.campaigns) for channel in CHANNELS)
    sources = _objects([*(channel.name for channel in CHANNELS), None])
    campaigns = np.full((len(CHANNELS) + 1, most + 1), None, dtype=object)
    for place, channel in enumerate(CHANNELS):
        campaigns[place, : len(channel.campaigns)] = channel.campaigns
    return sources[rows["channel"]], campaigns[rows["channel"], rows["campaign"]]


def _dates(start: date, days: np.ndarray, dashes: bool = True) -> np.ndarray:
    """ISO dates of day numbers, with or without dashes; None for NEVER. Objects in the shape of days."""
    known = days < NEVER
    days = np.where(known, days, 0)
    calendar = (np.datetime64(start) + np.arange(days.max(initial=0) + 1)).astype(str).tolist()
    texts = _objects(calendar if dashes else [text.replace("-", "") for text in calendar])[days]
    texts[~known] = None
    return texts


@cache
def _clock() -> np.ndarray:
    """The time part of a timestamp for each second of the day, shape (86400,)."""
    return _objects(f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z" for s in range(86_400))
