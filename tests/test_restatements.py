"""The ledger: every published cell that changed after it counted as final, with its cause, and no other."""

from __future__ import annotations

import logging
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from random_worlds import FIRST_DAY, random_world
from worlds import Batches, Warehouse, changed_definitions, days_of_tables

from growth.language.sql import Sql

# A quarter from the signup to the payment; see the funnel's steps.
DAYS_TO_MATURE = 90
LEDGER = {
    "fct_acquisition_funnel": ("cohort_month",),
    "fct_acquisition_funnel_by_channel": ("cohort_month", "utm_source", "utm_campaign"),
    "fct_engagement_cohorts": ("cohort_month", "activity_month"),
}
UNMEASURED = ("months_since_signup", "days_observed", "is_complete", "is_mature", "matures_on")

Cells = dict[tuple[str, str, str], Any]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def lenient(**changes: Any) -> Sql:
    quality = changed_definitions().quality.model_dump() | {"max_rejected_rate": 1, "min_rejected_rows": 1000}
    return Sql(changed_definitions(quality=quality, **changes))


def cells(warehouse: Warehouse) -> Cells:
    """Every measured cell of the marts that have a ledger: table, key, column -> value."""
    found = {}
    for table, key in LEDGER.items():
        for row in warehouse.rows(f"select * from {table}"):
            name = " ".join(row[k] for k in key)
            found |= {(table, name, c): v for c, v in row.items() if c not in (*key, *UNMEASURED)}
    return found


def is_final(table: str, key: str, column: str, published: date) -> bool:
    """Whether a cell counted as final for those who read it on a day."""
    month = date.fromisoformat(key.split()[1 if table == "fct_engagement_cohorts" else 0])
    end = month.replace(day=monthrange(month.year, month.month)[1])
    is_open_longer = table != "fct_engagement_cohorts" and column != "visitors"
    return end + timedelta(days=DAYS_TO_MATURE if is_open_longer else 0) <= published


def months(cells: Cells) -> set[tuple[str, str]]:
    """The partitions that were published: of the engagement the month of activity."""
    return {(t, key.split()[1 if t == "fct_engagement_cohorts" else 0]) for t, key, _ in cells}


def test_the_ledger_has_each_final_cell_that_changed_and_no_other(warehouse: Callable[..., Warehouse]) -> None:
    compare_the_ledger(warehouse, 30)


@pytest.mark.prove
@pytest.mark.every_engine
def test_the_ledger_of_many_worlds_has_each_final_cell_that_changed(
    warehouse: Callable[..., Warehouse], engine: str
) -> None:
    compare_the_ledger(warehouse, 300 if engine == "sqlite" else 40)


def compare_the_ledger(warehouse: Callable[..., Warehouse], worlds: int) -> None:
    sql, noted = lenient(), 0
    for seed in range(worlds):
        world = random_world(Random(seed))
        source = Batches()
        w = warehouse(source, sql)
        before: Cells = {}
        published = None
        for step in world.steps:
            source.batches |= step.changes
            w.run(step.first, step.last, rebuild=step.rebuild)
            after = cells(w)
            known = months(before)
            changed = {
                (t, key, c, before.get((t, key, c)), after.get((t, key, c)))
                for t, key, c in before.keys() | after.keys()
                if before.get((t, key, c)) != after.get((t, key, c))
                and (t, key.split()[1 if t == "fct_engagement_cohorts" else 0]) in known
                and is_final(t, key, c, published)
            }
            found = w.query(
                "select table_name, row_key, column_name, old_value, new_value from restatements where run_id = ?",
                f"run {w.runs}",
            )
            assert sorted(found, key=repr) == sorted(changed, key=repr)
            assert w.query("select count(*) from restatements where coalesce(cause, '') = ''") == [(0,)]
            noted += len(found)
            before = after
            published = date.fromisoformat(days_of_tables(w.connection)[1])
        w.close()
    assert noted > worlds


LATE = FIRST_DAY + timedelta(days=200)


def story() -> Warehouse | dict[str, Any]:
    event = {"event_id": "e", "user_id": "ann", "event_type": "activated", "event_date": FIRST_DAY.isoformat()}
    user = {"user_id": "ann", "signup_date": FIRST_DAY.isoformat(), "utm_source": "google"}
    paid = {"subscription_id": "s", "user_id": "ann", "plan_name": "Pro", "mrr": "99", "status": "active"}
    other = {"user_id": "bob", "signup_date": FIRST_DAY.isoformat()}
    return {
        "first": {"raw_users": [user, other], "raw_events": [event]},
        "late events": {"raw_events": [event | {"event_id": "f", "user_id": "bob"}]},
        "corrected subscription": {"raw_subscriptions": [paid | {"start_date": FIRST_DAY.isoformat()}]},
        "changed user": {"raw_users": [other | {"signup_date": "2026-02-01"}]},
        "linked ids": {"raw_links": [{"user_id": "ann", "other_user_id": "bob", "linked_at": FIRST_DAY.isoformat()}]},
    }


@pytest.mark.parametrize("cause", ["late events", "corrected subscription", "changed user", "linked ids"])
def test_a_restatement_names_its_cause(cause: str, warehouse: Callable[..., Warehouse]) -> None:
    given = story()
    source = Batches({FIRST_DAY: given["first"], LATE: {}, LATE + timedelta(days=1): given[cause]})
    w = warehouse(source, lenient())
    w.run(FIRST_DAY)
    w.run(LATE)
    w.run(LATE + timedelta(days=1))

    causes = {cause for (cause,) in w.query("select distinct cause from restatements")}
    assert any(cause in named.split(", ") for named in causes)
    assert all(cause in named.split(", ") or named == "changed user" for named in causes)


def test_another_definition_and_a_rebuild_are_causes(warehouse: Callable[..., Warehouse]) -> None:
    given = story()
    source = Batches({FIRST_DAY: given["first"], LATE: {}})
    w = warehouse(source, lenient())
    w.run(FIRST_DAY)
    w.run(LATE)
    w.run(LATE, rebuild=True)
    assert w.query("select * from restatements") == []

    # Another type of events lets staging be computed again, and with it what has been changed below its back.
    types = [*changed_definitions().events.types, "another"]
    w.sql = lenient(events={"sentence": "", "types": types})
    w.connection.execute("update raw_events set event_type = 'visit'")
    w.connection.commit()
    w.run(LATE)
    assert {c for (c,) in w.query("select distinct cause from restatements")} == {"new definition"}

    w.connection.execute("update raw_events set event_type = 'activated'")
    w.connection.commit()
    w.run(LATE, rebuild=True)
    assert {c for (c,) in w.query("select distinct cause from restatements where run_id = 'run 5'")} == {"rebuild"}
