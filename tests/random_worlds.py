"""Random worlds: a few people, batches about them that change between runs, and a road, which is a sequence of runs.

Everything is drawn from one random.Random, so that hypothesis can shrink a world and a seed can repeat one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from worlds import Batches, Warehouse, end_lease

from growth.engines import Connection, Place
from growth.language.sql import Sql

FIRST_DAY = date(2026, 1, 20)
GAPS = (1, 1, 2, 6, 8, 14, 27, 29, 45, 100)
USERS = ("ann", "bob", "cat", "dan")
DEVICES = ("x", "y", "z")
FEATURES = ("reports", "api", "export")
AGES = (0, 0, 0, 1, 2, 5, 8, 15, 30, 60, 95)

Batch = dict[str, list[dict[str, Any]]]


class Killed(BaseException):
    """The process was killed before a statement."""


@dataclass
class Step:
    """One run of the road: the batches that change before it, its days, and the statement at which it is killed."""

    changes: dict[date, Batch]
    first: date
    last: date
    rebuild: bool = False
    killed_at: int | None = None


@dataclass
class World:
    days: list[date]
    steps: list[Step] = field(default_factory=list)

    def __repr__(self) -> str:
        return "\n".join(
            f"{s.first}..{s.last} killed_at={s.killed_at} rebuild={s.rebuild} {s.changes}" for s in self.steps
        )


def random_world(rng: Random) -> World:
    days = [FIRST_DAY]
    for _ in range(rng.randint(1, 4)):
        days.append(days[-1] + timedelta(days=rng.choice(GAPS)))
    world = World(days)
    now: dict[date, Batch] = {}
    for number in range(rng.randint(2, 6)):
        changed = days if number == 0 else rng.sample(days, rng.randint(0, min(2, len(days))))
        first, last = sorted((rng.choice(days), rng.choice(days))) if rng.random() < 0.5 else [rng.choice(days)] * 2
        killed_at = rng.randint(0, 260) if rng.random() < 0.3 else None
        changes = {d: _edited(rng, d, now[d]) if d in now and rng.random() < 0.6 else _batch(rng, d) for d in changed}
        now |= changes
        world.steps.append(Step(changes, first, last, rng.random() < 0.05, killed_at))
    return world


def plain_worlds() -> list[World]:
    """Situations that random worlds seldom reach, one in each world: only the as-of day moves, or it does not move."""
    start, soon, later = FIRST_DAY, FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=14)
    much_later = FIRST_DAY + timedelta(days=140)
    ann = {"user_id": "ann", "signup_date": start.isoformat()}

    def event(number: int, kind: str, feature: str | None = None) -> dict[str, Any]:
        what = {"event_id": f"e{number}", "user_id": "ann", "event_type": kind, "feature_name": feature}
        return what | {"event_date": start.isoformat()}

    def use(number: int, feature: str) -> dict[str, Any]:
        return event(number, "feature_used", feature)

    def pays(first: date, last: date | None = None) -> dict[str, Any]:
        subscription = {"subscription_id": "s1", "user_id": "ann", "plan_name": "Pro", "mrr": "99", "status": "active"}
        return subscription | {"start_date": first.isoformat(), "end_date": last and last.isoformat()}

    def batch(events: list[dict[str, Any]], *subscriptions: dict[str, Any]) -> Batch:
        return {"raw_users": [ann], "raw_events": events, "raw_subscriptions": list(subscriptions)}

    def world(*batches: tuple[date, Batch]) -> World:
        return World([day for day, _ in batches], [Step({day: content}, day, day) for day, content in batches])

    def links(*ids: dict[str, str]) -> Batch:
        return {"raw_links": [{"link_id": "l", "linked_at": start.isoformat()} | both for both in ids]}

    def of(person: str, **more: Any) -> Batch:
        return {
            "raw_users": [ann | {"user_id": person}],
            "raw_events": [event(1, "daily_active") | {"user_id": person, "anonymous_id": None} | more],
            "raw_subscriptions": [pays(start) | {"user_id": person}],
        }

    on_x, cat_is_bob, bob_is_ann = (
        {"user_id": "ann", "anonymous_id": "x"},
        {"user_id": "cat", "other_user_id": "bob"},
        {"user_id": "bob", "other_user_id": "ann"},
    )
    after_days = [{"event_date": (start + timedelta(days=n)).isoformat()} for n in range(14)]
    empty: Batch = {}
    trial, over = pays(start) | {"status": "trial", "mrr": "0"}, pays(start) | {"status": "cancelled"}
    return [
        world((start, batch([], trial)), (soon, batch([], over)), (start, batch([]))),
        # The first use of a feature arrives last, and another active day lies between.
        world(
            (soon, batch([event(1, "daily_active") | after_days[5], use(2, "api") | after_days[9]])),
            (later, {"raw_events": [use(3, "api")]}),
        ),
        world((start, of("ann", user_id=None, anonymous_id="x")), (soon, links(on_x))),
        world((start, of("ann", user_id=None, anonymous_id="x")), (soon, links(on_x)), (soon, empty)),
        world((start, of("ann") | links(bob_is_ann)), (soon, links(cat_is_bob))),
        world((start, of("ann")), (soon, links(bob_is_ann)), (soon, empty)),
        world((start, batch([use(1, "api"), use(2, "export")])), (start, batch([use(1, "api"), use(2, "api")]))),
        # In the month that begins between, one feature was used before and after.
        world(*((later, batch([use(1, "api"), use(2, name) | after_days[13]])) for name in ("export", "api"))),
        world((start, batch([])), (later, empty), (start, batch([event(1, "daily_active")]))),
        world((start, batch([event(1, "daily_active")])), (soon, empty)),
        world((start, batch([])), (start, batch([], pays(start)))),
        world((start, batch([event(1, "activated")])), (later, {"raw_subscriptions": [pays(start)]})),
        world((start, batch([], pays(soon))), (soon, empty)),
        world((start, batch([], pays(start, soon))), (soon, empty)),
        world((start, batch([], pays(start))), (later, empty)),
        world((start, batch([])), (much_later, empty)),
    ]


def _edited(rng: Random, day: date, batch: Batch) -> Batch:
    """The batch with one row removed, one field of a row changed, or another feature used."""
    edited = {table: [dict(row) for row in rows] for table, rows in batch.items()}
    features = [row for row in edited.get("raw_events", []) if row["feature_name"]]
    if features and rng.random() < 0.4:
        rng.choice(features)["feature_name"] = rng.choice(FEATURES)
        return edited
    table = rng.choice([t for t, rows in edited.items() if rows] or ["raw_users"])
    one_of = {"raw_users": _user, "raw_events": _event, "raw_subscriptions": _subscription, "raw_links": _link}
    rows = edited.setdefault(table, [])
    if rows and rng.random() < 0.3:
        rows.pop(rng.randrange(len(rows)))
    elif rows:
        other = one_of[table](rng, day)
        field_name = rng.choice(sorted(other))
        rows[rng.randrange(len(rows))][field_name] = other[field_name]
    return edited


def _batch(rng: Random, day: date) -> Batch:
    if rng.random() < 0.2:
        # A user signs up and tries one feature after the other.
        user = rng.choice(USERS)
        uses = [_event(rng, day) | {"user_id": user, "event_type": "feature_used"} for _ in range(rng.randint(2, 4))]
        uses = [use | {"feature_name": rng.choice(FEATURES), "event_timestamp": None} for use in uses]
        return {"raw_users": [_user(rng, day) | {"user_id": user}], "raw_events": uses}
    batch = {
        "raw_users": [_user(rng, day) for _ in range(rng.randint(0, 2))],
        "raw_events": [_event(rng, day) for _ in range(rng.randint(0, 6))],
        "raw_subscriptions": [_subscription(rng, day) for _ in range(rng.randint(0, 2))],
    }
    if rng.random() < 0.4:
        # Ids are linked on this day, and unknown visitors come.
        batch["raw_links"] = [_link(rng, day) for _ in range(rng.randint(1, 3))]
        for event in batch["raw_events"]:
            event["anonymous_id"] = rng.choice(DEVICES)
            event["user_id"] = rng.choice((None, event["user_id"]))
    return batch


def _date(rng: Random, day: date) -> str:
    if rng.random() < 0.03:
        return rng.choice(("2026-02-30", "soon", "", "2099-01-01"))
    return (day - timedelta(days=rng.choice(AGES))).isoformat()


def _user(rng: Random, day: date) -> dict[str, Any]:
    signup = _date(rng, day)
    return {
        "user_id": rng.choice(USERS) if rng.random() < 0.97 else None,
        "signup_date": signup,
        "email": rng.choice(("a@example.com", None)),
        "utm_source": rng.choice((None, "google", "referral")),
        "utm_campaign": rng.choice((None, "spring")),
        "first_visit_date": rng.choice((None, None, _date(rng, day))),
    }


def _event(rng: Random, day: date) -> dict[str, Any]:
    kind = rng.choice(
        ("visit", "signup", "activated", "daily_active", "daily_active", "feature_used", "feature_used", "odd")
    )
    at = _date(rng, day)
    return {
        "event_id": f"e{rng.randint(1, 12)}" if rng.random() < 0.98 else None,
        "user_id": rng.choice(USERS),
        "event_type": kind,
        "event_date": at,
        "event_timestamp": rng.choice((None, f"{at}T10:00:00Z", f"{at}T23:30:00-03:00")),
        "feature_name": rng.choice(FEATURES) if kind == "feature_used" else None,
        "utm_source": rng.choice((None, "google", "facebook")) if kind == "visit" else None,
    }


def _subscription(rng: Random, day: date) -> dict[str, Any]:
    start = day - timedelta(days=rng.choice((-20, -3, 0, 0, 1, 10, 60, 92)))
    return {
        "subscription_id": f"s{rng.randint(1, 4)}",
        "user_id": rng.choice(USERS),
        "plan_name": rng.choice(("Starter", "Pro", "Enterprise", "Platinum" if rng.random() < 0.1 else "Pro")),
        "start_date": start.isoformat(),
        "end_date": rng.choice((None, None, (start + timedelta(days=rng.choice((0, 5, 30, 90)))).isoformat())),
        "mrr": rng.choice(("29", "99.00", "0", "-1" if rng.random() < 0.1 else "49")),
        "status": rng.choice(("active", "active", "trial", "cancelled")),
    }


def _link(rng: Random, day: date) -> dict[str, Any]:
    """A user on a device, two ids of one user, two ids of one device, or an alias of either kind."""
    one, other = rng.choice(USERS), rng.choice(USERS)
    device = rng.choice(DEVICES)
    ids = rng.choice(
        (
            {"user_id": one, "anonymous_id": device},
            {"user_id": one, "anonymous_id": device},
            {"user_id": one, "other_user_id": other},
            {"anonymous_id": device, "other_anonymous_id": rng.choice(DEVICES)},
            {"user_id": one, "anonymous_id": other, "other_user_id": other},
            {"user_id": rng.choice(("null", None)), "anonymous_id": device},
        )
    )
    both = dict.fromkeys(("user_id", "anonymous_id", "other_user_id", "other_anonymous_id")) | ids
    return {"link_id": "link", "linked_at": _date(rng, day)} | both


class Mortal:
    """A connection whose process is killed before the statement of a given number."""

    def __init__(self, connection: Connection, killed_at: int) -> None:
        self._connection = connection
        self.left = killed_at

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def execute(self, *arguments: Any) -> Any:
        self._count()
        return self._connection.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self._count()
        return self._connection.executemany(*arguments)

    @property
    def raw(self) -> Any:
        self._count()
        return self._connection.raw

    def commit(self) -> None:
        self._count()
        self._connection.commit()

    def cursor(self) -> Any:
        return _MortalCursor(self, self._connection.cursor())

    def rollback(self) -> None:
        """A killed process rolls nothing back: the database does when it is opened again."""


class _MortalCursor:
    def __init__(self, owner: Mortal, cursor: Any) -> None:
        self._owner = owner
        self._cursor = cursor

    def execute(self, *arguments: Any) -> Any:
        self._owner._count()
        return self._cursor.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)


def walk(world: World, place: Place | Path, sql: Sql) -> Warehouse:
    """Take the road. At its end, land the batches that have changed since they landed, and finish a killed run."""
    source = Batches()
    warehouse = Warehouse(place, source, sql)
    stale: set[date] = set()
    killed = False
    for step in world.steps:
        source.batches |= step.changes
        stale |= step.changes.keys()
        killed = not _run(warehouse, step.first, step.last, step.rebuild, step.killed_at)
        if not killed:
            stale -= {d for d in stale if step.first <= d <= step.last}
    for day in sorted(stale, reverse=len(world.steps) % 2 == 0):
        _run(warehouse, day, day)
        killed = False
    if killed:
        _run(warehouse, world.steps[-1].first, world.steps[-1].last)
    return warehouse


def _run(warehouse: Warehouse, first: date, last: date, rebuild: bool = False, killed_at: int | None = None) -> bool:
    """Returns whether the run finished."""
    alive = warehouse.connection
    try:
        if killed_at is not None:
            warehouse.connection = Mortal(alive, killed_at)  # type: ignore[assignment]
        warehouse.run(first, last, rebuild=rebuild)
        return True
    except Killed:
        alive.close()
        warehouse.connection = alive = warehouse.connect()
        if "work_lease" in warehouse.place.engine.tables(alive):
            end_lease(alive)
        return False
    finally:
        warehouse.connection = alive
