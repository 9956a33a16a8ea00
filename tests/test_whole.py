"""A first load, a rebuild and a run with other definitions compute whole tables; all other runs what is in scope."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from worlds import Warehouse, WithDevices, default_sql

from growth.language.tables import tables_of
from growth.warehouse import pipeline
from growth.warehouse.scripts import Refused, run_statements
from growth.warehouse.state import mark_whole, whole_tables

FIRST, LAST = date(2024, 11, 1), date(2025, 2, 28)
RUN = {"dag_id": "without_airflow", "run_id": "run 1", "first_day": f"{FIRST}", "last_day": f"{LAST}"}


class Stopped(Exception):
    """A run is left where it is."""


def stop_before(name: str) -> Callable[[str], None]:
    def stop(task: str) -> None:
        if task == name:
            raise Stopped

    return stop


@pytest.fixture
def company() -> WithDevices:
    return WithDevices(scale=0.1)


@pytest.mark.every_engine
def test_all_batches_in_scope_give_what_whole_tables_give(warehouse, company) -> None:
    whole, in_scope = warehouse(company), warehouse(company)
    whole.run(FIRST, LAST)
    with pytest.raises(Stopped):
        in_scope.run(FIRST, LAST, before_task=stop_before("int_id_links"))
    in_scope.connection.execute("update work_table_state set whole_because = null")
    pipeline.compute(in_scope.connection, in_scope.sql, RUN)

    assert in_scope.query("select count(*) from int_user_engagement") > [(100,)]
    assert in_scope.differences_from(whole, within=1e-9) == []


@pytest.mark.every_engine
def test_whole_tables_put_no_event_in_scope(warehouse, company) -> None:
    w = warehouse(company)
    with pytest.raises(Stopped):
        w.run(FIRST, LAST, before_task=stop_before("publish"))

    assert set(whole_tables(w.connection)) == set(w.sql.tables)
    assert w.query("select count(*) from work_scope__stg_events") == [(0,)]
    assert w.query("select count(*) from work_changed__stg_events") == [(0,)]
    assert w.query("select count(*) from work_scope__dim_user_health") > [(10,)]


@pytest.mark.every_engine
def test_after_the_publish_of_whole_tables_a_day_is_computed_in_scope(warehouse, company) -> None:
    w = warehouse(company)
    w.run(FIRST, LAST)
    assert whole_tables(w.connection) == {}

    with pytest.raises(Stopped):
        w.run(date(2025, 3, 1), before_task=stop_before("publish"))
    staged = w.query("select count(*) from work_scope__stg_events")
    assert [(0,)] < staged < [(1000,)]


@pytest.mark.every_engine
@pytest.mark.parametrize("table", ["stg_events", "dim_user_health"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_script_of_whole_tables_and_one_of_the_scope_do_not_stand_in_for_each_other(
    warehouse, company, table, whole
) -> None:
    w = warehouse(company)
    w.run(FIRST, date(2024, 11, 30))
    if not whole:
        mark_whole(w.connection, [table], "rebuild")
    before = w.query(f"select * from {table} order by 1")

    with pytest.raises(Refused, match="try this task again"):
        run_statements(w.connection, w.sql.build(table, whole), RUN)

    assert w.query(f"select * from {table} order by 1") == before
    assert w.query("select count(*) from work_lease") == [(0,)]


def test_a_table_that_was_filled_anew_has_its_indexes(warehouse, company) -> None:
    w = warehouse(company)
    with pytest.raises(Stopped):
        w.run(FIRST, LAST, before_task=stop_before("int_id_links"))
    indexes = "select name, sql from sqlite_master where type = 'index' order by name"
    before = w.query(indexes)
    assert len([name for name, sql in before if sql]) > 10
    pipeline.compute(w.connection, w.sql, RUN)

    assert w.query(indexes) == before


def test_each_whole_table_is_read_from_whole_tables() -> None:
    """A part that a first load forgot to put in scope would be missing from it."""
    filled = {"stg_users", "int_identities", *tables_of("marts")}
    for layer in ("identity", "staging", "intermediate", "marts"):
        for table in tables_of(layer):
            script = "\n".join(default_sql().build(table, whole=True))
            assert "work_changed__" not in script, table
            assert ("from work_scope__" in script) == (table in filled), table
            if f"from work_scope__{table}" in script:
                assert (
                    f"insert into work_scope__{table}" in script
                    or f"insert or ignore into work_scope__{table}" in script
                )


def test_a_warehouse_without_a_publish_computes_everything_again(tmp_path, company) -> None:
    w = Warehouse(tmp_path / "w.db", company)
    with pytest.raises(Stopped):
        w.run(FIRST, LAST, before_task=stop_before("check_marts"))
    w.connection.execute("delete from work_lease")
    w.run(date(2025, 3, 1))

    removed = "select rows_removed from run_steps where task_id = 'stg_events' and run_id = 'run 2'"
    assert w.query(removed) > [(500,)]
    assert w.differences_from_rebuild() == []
    w.close()
