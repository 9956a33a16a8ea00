"""Promise 1: the same result, whatever the road. Promise 3: nothing is lost on the way.

A road is a sequence of runs: in any order, with repeats, over several days, of batches that change, killed anywhere.
`make prove N=5000` takes as many roads as one likes.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import cache
from itertools import chain
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_worlds import World, plain_worlds, random_world, walk
from worlds import Warehouse, changed_definitions, default_sql, fresh_place, on_engine

from growth.checks import ChecksFailed
from growth.definitions import Definitions
from growth.sources.synthetic import Synthetic
from growth.sql import Sql

WORLDS = int(os.environ.get("WORLDS", "300"))

# In worlds of so few rows one malformed row is a large share of its batch.
LENIENT = {"max_rejected_rate": 1, "min_rejected_rows": 1000}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def _lenient_definitions(**changes: Any) -> Definitions:
    shipped = changed_definitions().quality.model_dump()
    return changed_definitions(quality=shipped | LENIENT, **changes)


@cache
def dictionaries() -> list[Sql]:
    """The shipped dictionary, and one that uses every other kind of rule for a step."""
    funnel = changed_definitions().funnel.model_dump(exclude_none=True)
    visit, signup, _, paid = funnel["steps"]
    others = [
        {"name": "set_up", "people": "set_up", "noun": "setup", "all_of": ["activated", "daily_active"]},
        {"name": "adopted", "people": "adopted", "noun": "adoption", "active_days": {"days": 2, "window_days": 9}},
    ]
    steps = [visit, signup, *({"sentence": "", **step} for step in others), paid]
    identity = changed_definitions().identity.model_dump()
    return [
        Sql(_lenient_definitions()),
        Sql(
            _lenient_definitions(
                funnel=funnel | {"steps": steps, "cohort_by": "signup"},
                identity=identity | {"anonymous_rows": "components", "max_users": 2},
            )
        ),
        Sql(_lenient_definitions(identity=identity | {"anonymous_rows": "last_user", "max_users": 2})),
        Sql(_lenient_definitions(identity=identity | {"anonymous_rows": "first_user"})),
    ]


def what_is_wrong(world: World, sql: Sql) -> list[str]:
    """Cells that a rebuild would show otherwise, and batches whose rows are not accounted for."""
    with fresh_place(sql.engine.name) as place:
        warehouse = walk(world, place, sql)
        wrong = warehouse.differences_from_rebuild()
        wrong += [
            f"not accounted for: {row}"
            for row in warehouse.query(
                "select * from batch_accounting where rows_landed <> rows_staged + rows_duplicate + rows_rejected"
            )
        ]
        wrong += [f"left in scope: {row}" for row in warehouse.query("select * from scope_batches")]
        warehouse.close()
        return wrong


@pytest.mark.every_engine
@given(rng=st.randoms(use_true_random=False), dictionary=st.integers(0, 3))
@settings(max_examples=WORLDS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_any_road_ends_in_what_a_rebuild_gives(engine: str, rng: Random, dictionary: int) -> None:
    world = random_world(rng)
    assert what_is_wrong(world, on_engine(dictionaries()[dictionary], engine)) == []


# A rule of a scope is one select: a part of a union, or a named part of the query.
_BETWEEN_RULES = re.compile(r"(\n\s*union\n|\n\),?\n|\w+(?: \(\w+\))? as \(\n)")


def _rules(query: str) -> list[int]:
    """Where the rules stand among the parts of the query."""
    parts = _BETWEEN_RULES.split(query)
    return [n for n, part in enumerate(parts) if re.sub(r"--[^\n]*\n", "", part).strip().startswith("select")]


def _without_rule(query: str, number: int) -> str:
    parts = _BETWEEN_RULES.split(query)
    # The part of a recursion that refers to itself cannot be asked from within another query.
    is_recursive = "from touched" in parts[number] and "select id from touched" not in parts[number]
    rule = "select null" if is_recursive else f"select * from ({parts[number]}\n) as no_rule"
    parts[number] = f"{rule} where 1 = 0"
    return "".join(parts)


class Broken(Sql):
    """The statements of the project with one rule taken out."""

    def __init__(self, break_scope: Callable[[str, str], str] | None, break_build: Callable[[str], str] | None) -> None:
        super().__init__(_lenient_definitions())
        self._break_scope = break_scope
        self._break_build = break_build

    def scope(self, table: str) -> str:
        query = super().scope(table)
        return self._break_scope(table, query) if self._break_scope else query

    def build(self, table: str) -> str:
        script = super().build(table)
        return self._break_build(script) if self._break_build else script


SCOPE_RULES = [(m.name, n) for m in default_sql().models for n in _rules(default_sql().scope(m.name))]

OTHER_RULES = {
    "the old content of a partition counts": (r"insert or ignore into changed__\w+ [^;]*from gone;", ""),
    "the new content of a partition counts": (r"insert or ignore into changed__\w+ [^;]*from came;", ""),
    "a row that is no longer given goes": (r"delete from \w+ where [^;]*from gone\);", ""),
}


def _notices(broken: Sql, most: int) -> World | None:
    """The first world, plain or random, in which the broken statements end in something else."""
    for world in chain(plain_worlds(), (random_world(Random(seed)) for seed in range(most))):
        try:
            if what_is_wrong(world, broken):
                return world
        except (ChecksFailed, sqlite3.IntegrityError):
            return world  # the pipeline's own checks, or a key that stands twice
    return None


@pytest.mark.parametrize(("table", "number"), SCOPE_RULES, ids=[f"{t}-{n}" for t, n in SCOPE_RULES])
def test_worlds_notice_a_missing_rule_of_a_scope(table: str, number: int) -> None:
    broken = Broken(lambda t, query: _without_rule(query, number) if t == table else query, None)
    assert _notices(broken, 400) is not None


@pytest.mark.parametrize("rule", OTHER_RULES)
def test_worlds_notice_when_changes_are_not_handed_on(rule: str) -> None:
    pattern, replacement = OTHER_RULES[rule]
    assert re.search(pattern, default_sql().build("stg_events")), "the rule is not where this test looks for it"
    broken = Broken(None, lambda script: re.sub(pattern, replacement, script))
    assert _notices(broken, 400) is not None


def test_worlds_notice_nothing_when_nothing_is_broken() -> None:
    assert _notices(Broken(lambda table, query: query, lambda script: script), 30) is None


@pytest.mark.every_engine
def test_any_road_through_two_years_ends_in_the_same_tables(warehouse: Callable[..., Warehouse]) -> None:
    """One run, a run for each month, and a run for each of the last 60 days on top of a first load."""
    source = Synthetic()
    first, last = source.first_day, date(2026, 10, 31)
    days = [last - timedelta(days=n) for n in range(60)][::-1]
    all_days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    months = [day for day in all_days if day.day == 1]

    at_once = warehouse(source)
    at_once.run(first, last)
    by_month = warehouse(source)
    for month, following in zip(months, [*months[1:], last + timedelta(days=1)], strict=True):
        by_month.run(month, following - timedelta(days=1))
    by_day = warehouse(source)
    by_day.run(first, days[0] - timedelta(days=1))
    for day in days:
        by_day.run(day)

    assert by_month.differences_from(at_once) == []
    assert by_day.differences_from(at_once) == []
    assert at_once.differences_from_rebuild() == []


@pytest.mark.every_engine
def test_running_a_day_again_changes_nothing(warehouse: Callable[..., Warehouse]) -> None:
    source = Synthetic(scale=0.2)
    again = warehouse(source)
    again.run(source.first_day, date(2025, 6, 30))
    before = {m.name: again.query(f"select * from {m.name} order by 1, 2") for m in again.sql.models}
    for day in (date(2025, 6, 30), date(2025, 1, 31), source.first_day):
        again.run(day)
    upper = [m.name for m in again.sql.models if m.layer != "marts"]
    written = again.query(
        "select task_id, rows_removed, rows_written from run_steps"
        f" where run_id <> 'run 1' and task_id in ({', '.join('?' * len(upper))}) and rows_removed + rows_written > 0",
        *upper,
    )
    assert written == []
    assert {m.name: again.query(f"select * from {m.name} order by 1, 2") for m in again.sql.models} == before
