"""A run without Airflow: the statements of the DAG's tasks, in the DAG's order, on one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from growth.days import Days
from growth.engines import Connection
from growth.language.sql import Sql
from growth.language.tables import LAYERS, tables_of
from growth.sources.contract import Source
from growth.warehouse.checks import run_checks
from growth.warehouse.landing import land
from growth.warehouse.schema import drop_obsolete_columns, prepare
from growth.warehouse.scripts import run_statements
from growth.warehouse.state import whole_tables


def run(
    connection: Connection,
    sql: Sql,
    source: Source,
    days: Days,
    run_id: str,
    rebuild: bool = False,
    before_task: Callable[[str], None] = lambda task: None,
) -> dict[str, float]:
    """Run some days; gives the seconds of SQL by task. `before_task` sees each task's name first."""
    parameters = {
        "dag_id": "without_airflow",
        "run_id": run_id,
        "first_day": days.first.isoformat(),
        "last_day": days.last.isoformat(),
    }
    before_task("generate")
    prepare(connection, sql)
    seconds = {"generate": land(connection, sql, source, days, parameters, rebuild).sql_seconds}
    return seconds | compute(connection, sql, parameters, before_task)


def compute(
    connection: Connection,
    sql: Sql,
    parameters: Mapping[str, object],
    before_task: Callable[[str], None] = lambda task: None,
) -> dict[str, float]:
    """All that follows a landing: compute what is in scope, check it, publish; gives the seconds of SQL by task."""
    seconds: dict[str, float] = {}
    whole = whole_tables(connection)
    for layer in LAYERS:
        checks = []
        for table in tables_of(layer):
            before_task(table)
            seconds[table] = run_statements(connection, sql.build(table, table in whole), parameters)
            checks += sql.checks(table, table in whole)
        before_task(f"check_{layer}")
        seconds[f"check_{layer}"] = run_checks(connection, checks, parameters)
    before_task("publish")
    seconds["publish"] = run_statements(connection, sql.publish(), parameters)
    drop_obsolete_columns(connection, sql)
    return seconds
