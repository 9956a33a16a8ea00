"""Promise 1: the same result, whatever the road. Promise 3: nothing is lost on the way.

A road is a sequence of runs: in any order, with repeats, over several days, of batches that change, killed anywhere.
`make test` takes a sample of roads, `make prove N=5000` takes 5,000 on each engine (300 where N is not given).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_worlds import World, random_world, walk
from worlds import (
    Warehouse,
    batches_in_scope,
    changed_definitions,
    fresh_place,
    not_accounted_for,
    on_engine,
    tasks_that_wrote,
)

from growth.language.definitions import Definitions
from growth.language.sql import Sql
from growth.sources.synthetic.rows import Synthetic

# SQLite walks through a world twenty times as fast as the others.
SAMPLE = {"sqlite": 40, "duckdb": 3, "postgres": 8}
WORLDS = int(os.environ.get("WORLDS", "300"))
AT_ONCE = 50

# In worlds of so few rows one malformed row is a large share of its batch.
LENIENT = {"max_rejected_rate": 1, "min_rejected_rows": 1000}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def lenient_definitions(**changes: Any) -> Definitions:
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
        Sql(lenient_definitions()),
        Sql(
            lenient_definitions(
                funnel=funnel | {"steps": steps, "cohort_by": "signup"},
                identity=identity | {"anonymous_rows": "components", "max_users": 2},
            )
        ),
        Sql(lenient_definitions(identity=identity | {"anonymous_rows": "last_user", "max_users": 2})),
        Sql(lenient_definitions(identity=identity | {"anonymous_rows": "first_user"})),
    ]


def what_is_wrong(world: World, sql: Sql) -> list[str]:
    """Cells that a rebuild would show otherwise, and batches whose rows are not accounted for."""
    with fresh_place(sql.engine.name) as place:
        warehouse = walk(world, place, sql)
        wrong = warehouse.differences_from_rebuild()
        wrong += [f"not accounted for: {batch}" for batch in not_accounted_for(warehouse.connection)]
        wrong += [f"left in scope: {batch}" for batch in batches_in_scope(warehouse.connection)]
        warehouse.close()
        return wrong


@pytest.mark.slow
@pytest.mark.every_engine
def test_any_road_ends_in_what_a_rebuild_gives(engine: str) -> None:
    walk_roads(engine, SAMPLE[engine])


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.every_engine
@pytest.mark.parametrize("before", range(0, WORLDS, AT_ONCE))
def test_any_of_many_roads_ends_in_what_a_rebuild_gives(engine: str, before: int) -> None:
    """In portions, so that several processes share them."""
    walk_roads(engine, min(AT_ONCE, WORLDS - before))


def walk_roads(engine: str, number: int) -> None:
    # Without a seed hypothesis draws other worlds each time.
    @given(rng=st.randoms(use_true_random=False), dictionary=st.integers(0, 3))
    @settings(max_examples=number, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def roads(rng: Random, dictionary: int) -> None:
        assert what_is_wrong(random_world(rng), on_engine(dictionaries()[dictionary], engine)) == []

    roads()


def test_roads_through_two_years_end_in_the_same_tables(warehouse: Callable[..., Warehouse]) -> None:
    take_three_roads(warehouse, Synthetic(scale=0.3), 10)


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.every_engine
def test_long_roads_through_two_years_end_in_the_same_tables(warehouse: Callable[..., Warehouse]) -> None:
    take_three_roads(warehouse, Synthetic(), 60)


def take_three_roads(warehouse: Callable[..., Warehouse], source: Synthetic, last_days: int) -> None:
    """One run, a run for each month, and a run for each of the last days on top of a first load."""
    first, last = source.first_day, date(2026, 10, 31)
    days = [last - timedelta(days=n) for n in range(last_days)][::-1]
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
    before = {m.name: again.query(f"select * from {m.name} order by 1, 2") for m in again.sql.tables.values()}
    for day in (date(2025, 6, 30), date(2025, 1, 31), source.first_day):
        again.run(day)
    above_marts = {m.name for m in again.sql.tables.values() if m.layer != "marts"}
    wrote = [(run, task) for run, task in tasks_that_wrote(again.connection) if task in above_marts]
    assert wrote
    assert {run for run, _ in wrote} == {"run 1"}
    assert {m.name: again.query(f"select * from {m.name} order by 1, 2") for m in again.sql.tables.values()} == before
