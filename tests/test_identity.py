"""Who is behind an id: other systems' own cases, and a second reckoning of random links."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worlds import Batches, Warehouse, changed_definitions

from growth.language.sql import Sql

DAY = date(2026, 1, 31)
NOON = datetime(2026, 1, 5, 12)

# The rule of ours that says what the rule of a case says.
OURS = {
    "components": "components",
    "last user seen on the device": "last_user_so_far",
    "last user seen on the device; 9 is merged into 8 afterwards (merge table)": "last_user_so_far",
    "simplified id merge: device linked to the first user that it is seen with, backwards too": "first_user",
    "simplified id merge: device linked to the first user that it is seen with, backwards too; reset() made D2": (
        "first_user"
    ),
}

# What the rule of a case adds to its rows: persons who are merged afterwards.
MERGED = {"amplitude/anonymous_on_second_device": {9: 8}}

# Cases that no rule of ours can express, and why.
NOT_OURS = {
    "snowplow/uid_conflict": "one user id per person: an id is then in two groups, here it has one person at a time",
    "snowplow/shared_id_collision": "one user id per person, as above",
    "segment/limit_user_id_1": "limits by the rank of an id's kind: an e-mail address is no id here and links nobody",
    "election/order": "which of several user ids names the person: here the least one that is nobody's alias",
    "election/tie": "the same; the rule of ties is ours, too, but there is no rank before it",
    "prefix": "what a mapping strips from an id, see the tests of mappings",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@cache
def sql_by(rule: str, max_users: int = 1000) -> Sql:
    shipped = changed_definitions()
    return Sql(
        changed_definitions(
            identity=shipped.identity.model_dump() | {"anonymous_rows": rule, "max_users": max_users},
            quality=shipped.quality.model_dump() | {"max_rejected_rate": 1, "min_rejected_rows": 1000},
        )
    )


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((shared_data / "data/sources/identity/cases.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in content["cases"]}


def landed(warehouse: Callable[..., Warehouse], sql: Sql, batches: dict[date, dict[str, Any]]) -> Warehouse:
    w = warehouse(Batches(batches), sql)
    for day in sorted(batches):
        w.run(day)
    return w


def people(w: Warehouse, ids: Iterable[str]) -> dict[str, str]:
    """The person of each id that has only one."""
    known = dict(w.query("select id, person_id from int_identities"))
    return {i: known.get(i, i) for i in ids}


def groups(person_of: dict[str, str]) -> list[list[str]]:
    found = defaultdict(list)
    for i, person in person_of.items():
        found[person].append(i)
    return sorted(sorted(members) for members in found.values())


def _ours(i: str) -> str:
    """A cookie is a device, a user id a user."""
    return i if i.startswith("u:") else f"anonymous:{i}"


def _links(row: dict[str, Any]) -> Iterator[dict[str, str]]:
    """One row with up to two cookies and a user, as links."""
    users = [i for i in row["ids"] if i.startswith("u:")]
    cookies = [i for i in row["ids"] if not i.startswith("u:")]
    link = {"link_id": "l", "linked_at": row["t"]}
    for cookie, other in pairwise(cookies):
        yield link | {"anonymous_id": cookie, "other_anonymous_id": other}
    for user in users:
        for cookie in cookies:
            yield link | {"user_id": user, "anonymous_id": cookie}


def test_every_case_is_run_or_named_as_not_ours(cases: dict[str, Any]) -> None:
    assert len(cases) == 33
    assert {name for name, case in cases.items() if case["rule"] not in OURS} == set(NOT_OURS)


@pytest.mark.every_engine(others="prove")
def test_components_are_the_published_groups(cases: dict[str, Any], warehouse: Callable[..., Warehouse]) -> None:
    run = [case for case in cases.values() if "batches" in case and case["id"] not in NOT_OURS]
    assert len(run) == 19
    for case in run:
        batches = {
            date.fromisoformat(day): {"raw_links": [link for row in rows for link in _links(row)]}
            for day, rows in case["batches"].items()
        }
        w = landed(warehouse, sql_by(OURS[case["rule"]]), batches)
        ids = {i for rows in case["batches"].values() for row in rows for i in row["ids"]}
        expected = sorted(sorted(map(_ours, group)) for group in case["expected_groups"])
        assert groups(people(w, map(_ours, ids))) == expected, case["id"]
        assert w.differences_from_rebuild() == [], case["id"]
        w.close()


@pytest.mark.every_engine(others="prove")
def test_each_row_of_a_device_is_that_of_the_published_person(
    cases: dict[str, Any], warehouse: Callable[..., Warehouse]
) -> None:
    run = [case for case in cases.values() if "rows" in case and case["id"] not in NOT_OURS]
    assert len(run) == 8
    for case in run:
        events = [
            {
                "event_id": str(number),
                "user_id": row["user"],
                "anonymous_id": row["device"],
                "event_type": "visit",
                "event_timestamp": (NOON + timedelta(minutes=number)).isoformat(),
            }
            for number, row in enumerate(case["rows"])
        ]
        w = landed(warehouse, sql_by(OURS[case["rule"]]), {DAY: {"raw_events": events}})
        found = dict(w.query("select event_id, user_id from stg_events"))
        merged = MERGED.get(case["id"], {})
        expected = [merged.get(row["expected"], row["expected"]) for row in case["rows"]]
        pairs = {(person, found[str(number)]) for number, person in enumerate(expected)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}), (case["id"], pairs)
        assert len(pairs) == case["expected_users"], case["id"]
        w.close()


# --- A second reckoning ---

USERS, DEVICES = ("ann", "bob", "cat", "dan", "eve"), ("v", "w", "x", "y")


def random_links(rng: Random) -> list[dict[str, str]]:
    links = []
    for number in range(rng.randint(1, 9)):
        one, other, device = rng.choice(USERS), rng.choice(USERS), rng.choice(DEVICES)
        ids = rng.choice(
            (
                {"user_id": one, "anonymous_id": device},
                {"user_id": one, "anonymous_id": device},
                {"user_id": one, "other_user_id": other},
                {"anonymous_id": device, "other_anonymous_id": rng.choice(DEVICES)},
            )
        )
        at = NOON + timedelta(minutes=rng.randint(0, 99))
        links.append({"link_id": str(number), "linked_at": at.isoformat()} | ids)
    return links


class Reckoning:
    """Who is behind each id, by one pass over all links with sets that grow together."""

    def __init__(self, links: list[dict[str, str]], rule: str, max_users: int) -> None:
        self.rule = rule
        self.sets: dict[str, set[str]] = {}
        aliases = set()
        sightings = []
        for link in links:
            user, other = link.get("user_id"), link.get("other_user_id")
            devices = [f"anonymous:{link[c]}" for c in ("anonymous_id", "other_anonymous_id") if c in link]
            if user and other:
                self._unite(user, other)
                aliases |= {other} - {user}
            elif len(devices) == 2:
                self._unite(*devices)
                aliases |= {devices[1]} - {devices[0]}
            else:
                sightings.append((link["linked_at"], devices[0], user))
        self.aliases = aliases
        if rule == "components":
            on = defaultdict(set)
            for _, device, user in sightings:
                on[device].add(user)
            for device, users in on.items():
                for user in users if len(users) <= max_users else ():
                    self._unite(device, user)
            return
        self.turns: dict[str, list[tuple[str, str]]] = {}
        for device in {member for _, d, _ in sightings for member in self.sets.get(d, {d})}:
            seen = {(at, self._name(u)) for at, d, u in sightings if d in self.sets.get(device, {device})}
            if len({person for _, person in seen}) <= max_users:
                moments = {at: max(p for t, p in seen if t == at) for at, _ in seen}
                self.turns[device] = sorted(moments.items())

    def _unite(self, a: str, b: str) -> None:
        both = self.sets.get(a, {a}) | self.sets.get(b, {b})
        self.sets |= dict.fromkeys(both, both)

    def _name(self, i: str) -> str:
        return min(self.sets.get(i, {i}), key=lambda m: (m.startswith("anonymous:"), m in self.aliases, m))

    def person(self, i: str, at: str) -> str:
        turns = None if self.rule == "components" else self.turns.get(i)
        if not turns:
            return self._name(i)
        if self.rule == "last_user":
            return turns[-1][1]
        so_far = [p for t, p in turns if t <= at] if self.rule == "last_user_so_far" else []
        return so_far[-1] if so_far else turns[0][1]


RULES = ["last_user_so_far", "last_user", "first_user", "components"]
DAYS = [DAY - timedelta(days=n) for n in range(3)]
MINUTES = (-5, 33, 66, 105)


def marked(links: list[dict[str, str]], mark: str) -> list[dict[str, str]]:
    """The links with a mark before each id, so that links of several seeds can lie in one warehouse."""
    ids = ("user_id", "anonymous_id", "other_user_id", "other_anonymous_id")
    return [{c: mark + v if c in ids else v for c, v in link.items()} for link in links]


def compare_with_a_second_reckoning(warehouse: Callable[..., Warehouse], rule: str, seeds: range) -> None:
    """Random links of each seed, spread over three days that are run in any order, all in one warehouse."""
    links_of = {f"{seed}.": marked(random_links(Random(seed)), f"{seed}.") for seed in seeds}
    rng = Random(seeds.start)
    batches: dict[date, dict[str, Any]] = {day: {"raw_links": []} for day in DAYS}
    for link in (link for links in links_of.values() for link in links):
        batches[rng.choice(DAYS)]["raw_links"].append(link)
    batches[DAYS[0]]["raw_events"] = [
        {"event_id": f"{mark}{device} {minute}", "anonymous_id": mark + device, "event_type": "visit"}
        | {"event_timestamp": (NOON + timedelta(minutes=minute)).isoformat()}
        for mark in links_of
        for device in DEVICES
        for minute in MINUTES
    ]
    w = warehouse(Batches(batches), sql_by(rule, 2))
    for day in rng.sample(DAYS, len(DAYS)):
        w.run(day)

    found = dict(w.query("select event_id, user_id from stg_events"))
    assert len(found) == len(batches[DAYS[0]]["raw_events"])
    for mark, links in links_of.items():
        reckoning = Reckoning(links, rule, 2)
        expected = {
            f"{mark}{device} {minute}": reckoning.person(
                f"anonymous:{mark}{device}", (NOON + timedelta(minutes=minute)).isoformat()
            )
            for device in DEVICES
            for minute in MINUTES
        }
        assert {event: found[event] for event in expected} == expected, links
        users = [mark + user for user in USERS]
        assert people(w, users) == {user: reckoning.person(user, "") for user in users}, links
    assert w.differences_from_rebuild() == []
    w.close()


@pytest.mark.every_engine
@pytest.mark.parametrize("rule", RULES)
def test_links_in_any_order_give_the_people_of_one_pass_over_all(
    rule: str, warehouse: Callable[..., Warehouse]
) -> None:
    compare_with_a_second_reckoning(warehouse, rule, range(25))


@pytest.mark.prove
@pytest.mark.every_engine
@pytest.mark.parametrize("rule", RULES)
def test_links_of_each_seed_alone_give_the_people_of_one_pass_over_all(
    rule: str, warehouse: Callable[..., Warehouse], engine: str
) -> None:
    for seed in range(25 if engine == "sqlite" else 10):
        compare_with_a_second_reckoning(warehouse, rule, range(seed, seed + 1))
