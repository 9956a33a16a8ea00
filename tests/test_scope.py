"""Promise 2: a day's run writes what its rows touch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from worlds import Batches, Warehouse, WithDevices

DAY = date(2026, 2, 17)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every table before and after a day's run on top of fifteen months, and what was in scope when it published."""
    source = WithDevices(scale=0.3)
    warehouse = Warehouse(tmp_path_factory.mktemp("scope") / "warehouse.db", source)
    warehouse.run(source.first_day, date(2026, 2, 16))

    def tables() -> dict[str, set[tuple[Any, ...]]]:
        return {
            m.name: set(warehouse.query(f"select {', '.join(m.columns)} from {m.name}"))
            for m in warehouse.sql.tables.values()
        }

    scope: dict[str, set[tuple[Any, ...]]] = {}

    def before_task(task: str) -> None:
        if task == "publish":
            for m in warehouse.sql.tables.values():
                scope[m.name] = set(warehouse.query(f"select {', '.join(m.partition)} from work_scope__{m.name}"))

    before = tables()
    warehouse.run(DAY, before_task=before_task)
    return {"before": before, "after": tables(), "scope": scope, "warehouse": warehouse}


def _partitions(warehouse: Warehouse, table: str, rows: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    (model,) = (m for m in warehouse.sql.tables.values() if m.name == table)
    places = [list(model.columns).index(c) for c in model.partition]
    return {tuple(row[p] for p in places) for row in rows}


def test_no_row_outside_the_scope_changes(day: dict[str, Any]) -> None:
    for table, before in day["before"].items():
        changed = _partitions(day["warehouse"], table, before ^ day["after"][table])
        assert changed <= day["scope"][table], table
        assert changed or table == "rejects", f"nothing changed in {table}: this day shows nothing"


def test_staging_and_intermediate_write_exactly_the_rows_that_differ(day: dict[str, Any]) -> None:
    written = {
        row["task_id"]: (row["rows_removed"], row["rows_written"])
        for row in day["warehouse"].rows("select * from run_steps where run_id = 'run 2'")
    }
    for model in day["warehouse"].sql.tables.values():
        if model.layer != "marts":
            before, after = day["before"][model.name], day["after"][model.name]
            assert written[model.name] == (len(before - after), len(after - before)), model.name


def test_marts_write_exactly_the_rows_of_their_partitions_in_scope(day: dict[str, Any]) -> None:
    written = {
        row["task_id"]: row["rows_written"]
        for row in day["warehouse"].rows("select * from run_steps where run_id = 'run 2'")
    }
    for model in day["warehouse"].sql.marts:
        place = list(model.columns).index(model.partition[0])
        in_scope = [row for row in day["after"][model.name] if (row[place],) in day["scope"][model.name]]
        assert written[model.name] == len(in_scope), model.name
        assert written[model.name] < len(day["after"][model.name]) / 2, f"{model.name} wrote most of its rows"


def test_the_funnel_counts_the_month_of_the_day_and_those_that_somebody_moved_in(day: dict[str, Any]) -> None:
    before, after = day["before"]["int_funnel_steps"], day["after"]["int_funnel_steps"]
    (model,) = (m for m in day["warehouse"].sql.tables.values() if m.name == "int_funnel_steps")
    place = list(model.columns).index("cohort_month")
    moved = {(row[place],) for row in before ^ after}
    assert day["scope"]["fct_acquisition_funnel"] == moved | {("2026-02-01",)}
    assert len(moved) < 10


def test_a_month_that_matures_is_counted_again(warehouse: Callable[..., Warehouse]) -> None:
    visit = {"event_id": "e1", "user_id": "ann", "event_type": "visit", "event_date": "2026-01-15"}
    quiet = warehouse(Batches({date(2026, 1, 15): {"raw_events": [visit]}}))
    quiet.run(date(2026, 1, 15))
    quiet.run(date(2026, 4, 30))
    assert quiet.query(
        "select is_mature, matures_on from fct_acquisition_funnel where cohort_month = '2026-01-01'"
    ) == [(0, "2026-05-01")]
    quiet.run(date(2026, 5, 1))
    assert quiet.query("select is_mature from fct_acquisition_funnel where cohort_month = '2026-01-01'") == [(1,)]
