"""The summary that `make run` ends with: the marts in plain text.

It is a function of the warehouse and its file's name: the same day gives the same summary on every machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from growth.commands.text import STAR, count, percent, table
from growth.engines import Connection, Place
from growth.language.definitions import Definitions
from growth.language.queries import Reader
from growth.language.sql import Sql

COHORTS = 6
ALL_MONTHS = {"since": "0000", "until": "9999"}


def print_times(connection: Connection, definitions: Definitions, place: Place, times: Mapping[str, float]) -> None:
    """How long the last run took. Not part of the summary, because it differs from run to run."""
    spent = Reader(Sql(definitions, place.kind), connection).row("terminal/run_seconds")
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    print(f"\nTime: {parts}, of it {spent['seconds']:.2f} s in the SQL of {spent['tasks']} tasks")


def print_summary(connection: Connection, definitions: Definitions, place: Place, root: Path) -> None:
    """The newest cohorts of the funnel, the retention triangle, health, the checks, and what to do next."""
    reader = Reader(Sql(definitions, place.kind), connection)
    state = reader.row("page/state")
    print("\n" + _bold(f"saas_growth as of {state['published_date']}"))
    for title, lines in (
        ("Funnel by cohort month", _funnel(reader)),
        ("Retention: active in the Nth month after the signup", _retention(reader)),
        ("Health of users", _health(reader)),
    ):
        print("\n" + _bold(title), *lines, sep="\n")
    print("\n" + _checks(reader, state["published_run_id"]))
    if place.engine.is_file and place.path.is_relative_to(root):
        place = place._replace(host=str(place.path.relative_to(root)))
    print(f"\nThe tables are in {place}:")
    print(f"  {place.engine.shell(place)} 'select * from fct_acquisition_funnel'")
    print("Next: make up (Airflow with its UI), README.md (your own data, your own definitions)")


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"


def _funnel(reader: Reader) -> list[str]:
    steps = reader.definitions.funnel.steps
    pairs = [(a.noun, b.noun) for a, b in pairwise(steps)]
    cohorts = reader.rows("page/funnel_cohorts", ALL_MONTHS)
    rows = [
        [
            cohort["cohort_month"][:7] + ("" if cohort["is_mature"] else STAR),
            *(count(cohort[step.people]) for step in steps),
            *(percent(cohort[f"{a}_to_{b}_rate"]) for a, b in pairs),
        ]
        for cohort in cohorts[-COHORTS:]
    ]
    headers = ["cohort", *(step.people.replace("_", " ") for step in steps)]
    headers += [f"{a} to {b}".replace("_", " ") for a, b in pairs]
    return table(headers, rows, "* people of this cohort can still convert")


def _retention(reader: Reader) -> list[str]:
    cohorts: dict[str, list[str]] = {}
    for cell in reader.rows("page/cohorts", ALL_MONTHS):
        row = cohorts.setdefault(cell["cohort_month"], [cell["cohort_month"][:7], count(cell["cohort_size"])])
        row.append(percent(cell["retention_rate"]) + ("" if cell["is_complete"] else STAR))
    rows = list(cohorts.values())[-COHORTS:]
    months = max((len(row) for row in rows), default=2) - 2
    headers = ["cohort", "size", *(f"month {age}" for age in range(months))]
    return table(headers, [row + [""] * (len(headers) - len(row)) for row in rows], "* the month is not over")


def _health(reader: Reader) -> list[str]:
    groups = reader.rows("page/health")
    rows = []
    for status in reader.definitions.health.statuses:
        found = [group for group in groups if group["health_status"] == status.name]
        users = sum(group["users"] for group in found)
        points = sum(group["users"] * group["overall_health_score"] for group in found)
        flags = (
            sum(group["users"] for group in found if group[flag])
            for flag in ("is_paying", "is_at_risk", "is_upsell_ready")
        )
        rows.append([status.name, count(users), f"{points / users:.1f}" if users else "-", *map(count, flags)])
    return table(["status", "users", "mean score", "paying", "at risk", "ready for an upsell"], rows)


def _checks(reader: Reader, run_id: str) -> str:
    checks = reader.rows("page/checks", {"run_id": run_id})
    found = [check["severity"] for check in checks if check["rows_found"]]
    warned = found.count("warn")
    landed = sum(table["rows_landed"] for table in reader.rows("page/landed"))
    rejected = sum(group["rows_rejected"] for group in reader.rows("page/rejects"))
    return (
        f"Checks: {len(checks) - len(found)} passed, {warned} warned, {len(found) - warned} failed. "
        f"Rows: {landed:,} landed, {rejected:,} rejected (table rejects says why)."
    )
