"""What `make run` shows: the marts as a short page on the terminal."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from growth.definitions import Definitions

COHORTS = 6
WIDTH = 100


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def print_times(connection: sqlite3.Connection, times: Mapping[str, float]) -> None:
    """Where the time of the last run went."""
    (sql, steps) = connection.execute(
        "select sum(sql_seconds), count(*) from run_steps where run_id = (select published_run_id from run_state)"
    ).fetchone()
    parts = [f"{name} {seconds:.1f} s" for name, seconds in times.items()]
    Console(width=WIDTH, highlight=False).print(
        f"\nTime: {', '.join(parts)}, of it the SQL of {steps} tasks {sql:.2f} s"
    )


def print_page(connection: sqlite3.Connection, definitions: Definitions, warehouse: str) -> None:
    """The last cohorts of the funnel, the retention triangle, the health summary, the checks, and where to go next."""
    console = Console(width=WIDTH, highlight=False)
    (as_of,) = connection.execute("select published_date from run_state").fetchone()
    console.print(f"\n[bold]saas_growth as of {as_of}[/bold]\n")
    console.print(_funnel(connection, definitions))
    console.print(_retention(connection))
    console.print(_health(connection, definitions))
    console.print(_checks(connection))
    console.print(f"\nThe tables are in {warehouse}: sqlite3 '{warehouse}' 'select * from fct_acquisition_funnel'")
    console.print("Next: make up (Airflow with its UI), README.md (your own data, your own definitions)\n")


def _funnel(connection: sqlite3.Connection, definitions: Definitions) -> Table:
    steps = definitions.funnel.steps
    rates = [f"{a.noun}_to_{b.noun}_rate" for a, b in zip(steps, steps[1:], strict=False)]
    people = [s.people for s in steps]
    table = _table(
        "Funnel by cohort month", "cohort", *people, *(r.removesuffix("_rate").replace("_", " ") for r in rates)
    )
    rows = connection.execute(
        f"select cohort_month, is_mature, {', '.join(people + rates)} from fct_acquisition_funnel"
        " order by cohort_month desc limit ?",
        (COHORTS,),
    ).fetchall()
    for month, is_mature, *numbers in reversed(rows):
        counts = [f"{n:,}" for n in numbers[: len(people)]]
        table.add_row(month[:7] + ("" if is_mature else " *"), *counts, *map(_percent, numbers[len(people) :]))
    table.caption = "* people of this cohort can still convert"
    table.caption_justify = "left"
    return table


def _retention(connection: sqlite3.Connection) -> Table:
    cells = connection.execute(
        "select cohort_month, months_since_signup, cohort_size, retention_rate, is_complete from fct_engagement_cohorts"
        " where cohort_month in"
        " (select distinct cohort_month from fct_engagement_cohorts order by cohort_month desc limit ?)"
        " order by cohort_month, months_since_signup",
        (COHORTS,),
    ).fetchall()
    ages = sorted({age for _, age, *_ in cells})
    table = _table(
        "Retention: active in the Nth month after the signup", "cohort", "size", *(f"month {a}" for a in ages)
    )
    for month in sorted({c[0] for c in cells}):
        row = [c for c in cells if c[0] == month]
        marks = {age: _percent(rate) + ("" if is_complete else " *") for _, age, _, rate, is_complete in row}
        table.add_row(month[:7], f"{row[0][2]:,}", *(marks.get(age, "") for age in ages))
    table.caption = "* the month is not over"
    table.caption_justify = "left"
    return table


def _health(connection: sqlite3.Connection, definitions: Definitions) -> Table:
    table = _table("Health of users", "status", "users", "mean score", "paying", "at risk", "ready for an upsell")
    found = {
        row[0]: row[1:]
        for row in connection.execute(
            "select health_status, count(*), avg(overall_health_score), sum(is_paying), sum(is_at_risk),"
            " sum(is_upsell_ready) from dim_user_health group by health_status"
        )
    }
    for status in definitions.health.statuses:
        users, score, paying, at_risk, ready = found.get(status.name, (0, 0.0, 0, 0, 0))
        table.add_row(status.name, f"{users:,}", f"{score:.1f}", f"{paying:,}", f"{at_risk:,}", f"{ready:,}")
    return table


def _checks(connection: sqlite3.Connection) -> str:
    passed, warned, failed = connection.execute(
        "select sum(rows_found = 0), sum(rows_found > 0 and severity = 'warn'),"
        " sum(rows_found > 0 and severity <> 'warn') from check_results"
        " where run_id = (select published_run_id from run_state)"
    ).fetchone()
    rejected, landed = connection.execute(
        "select (select count(*) from rejects), (select sum(rows_landed) from raw_batches)"
    ).fetchone()
    return (
        f"Checks: {passed} passed, {warned} warned, {failed} failed. "
        f"Rows: {landed:,} landed, {rejected:,} rejected (table rejects says why)."
    )
