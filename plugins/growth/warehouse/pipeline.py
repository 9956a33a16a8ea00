"""A run without Airflow: the statements of the DAG's tasks, in the DAG's order, on one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from growth.days import Days
from growth.language.models import LAYERS, tables
from growth.language.sql import Sql
from growth.sources.contract import Source
from growth.warehouse.checks import run_checks
from growth.warehouse.landing import computes_everything, drop_obsolete_columns, land, prepare, run_script


def run(
    connection: Any,
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
    connection: Any,
    sql: Sql,
    parameters: Mapping[str, object],
    before_task: Callable[[str], None] = lambda task: None,
) -> dict[str, float]:
    """All that follows a landing: compute what is in scope, check it, publish; gives the seconds of SQL by task."""
    seconds: dict[str, float] = {}
    whole = computes_everything(connection)
    for layer in LAYERS:
        for table in tables(layer):
            before_task(table)
            seconds[table] = run_script(connection, sql.build(table, whole), parameters)
        before_task(f"check_{layer}")
        seconds[f"check_{layer}"] = run_checks(connection, sql.checks(layer, whole), parameters)
    before_task("publish")
    seconds["publish"] = run_script(connection, sql.publish(), parameters)
    drop_obsolete_columns(connection, sql)
    return seconds
