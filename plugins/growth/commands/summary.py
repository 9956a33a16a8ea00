"""What `make run` shows: the marts as a short page on the terminal, plain text of at most 100 columns.

The page is a function of the warehouse and its file's name: the same day gives the same page on every machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from growth.engines import Connection, Place
from growth.language.definitions import Definitions

COHORTS = 6
WIDTH = 100
GAP = 3
SHORT = 10  # a header up to this length stands on one line
STAR = " *"


def print_times(connection: Connection, times: Mapping[str, float]) -> None:
    """Where the time of the last run went. No part of the page: it differs from run to run."""
    sql, tasks = connection.execute(
        "select coalesce(sum(sql_seconds), 0), count(*) from run_steps"
        " where run_id = (select published_run_id from run_state)"
    ).fetchone()
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    print(f"\nTime: {parts}, of it {sql:.2f} s in the SQL of {tasks} tasks")


def print_page(connection: Connection, definitions: Definitions, place: Place, root: Path) -> None:
    """The last cohorts of the funnel, the retention triangle, the health summary, the checks, and where to go next."""
    (as_of,) = connection.execute("select published_date from run_state").fetchone()
    print("\n" + _bold(f"saas_growth as of {as_of}"))
    for title, lines in (
        ("Funnel by cohort month", _funnel(connection, definitions)),
        ("Retention: active in the Nth month after the signup", _retention(connection)),
        ("Health of users", _health(connection, definitions)),
    ):
        print("\n" + _bold(title), *lines, sep="\n")
    print("\n" + _checks(connection))
    if place.engine.is_file and place.path.is_relative_to(root):
        place = place._replace(host=str(place.path.relative_to(root)))
    print(f"\nThe tables are in {place}:")
    print(f"  {place.engine.shell(place)} 'select * from fct_acquisition_funnel'")
    print("Next: make up (Airflow with its UI), README.md (your own data, your own definitions)")


def _bold(text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[1m{text}\033[0m"


# --- Tables of text


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> list[str]:
    """The lines of a table: the first column to the left, numbers to the right, the note only where a star stands.

    A header that is longer than what stands below it is broken between words, into two lines. Columns that do not fit
    beside each other go on below, with the first column again.
    """
    columns = [_column(header, [row[n] for row in rows], n == 0) for n, header in enumerate(headers)]
    first, *others = columns
    blocks = [[first]]
    for column in others:
        if sum(len(c[0]) + GAP for c in [*blocks[-1], column]) - GAP > WIDTH and len(blocks[-1]) > 1:
            blocks.append([first])
        blocks[-1].append(column)
    lines: list[str] = []
    for block in blocks:
        drawn = [(" " * GAP).join(cells).rstrip() for cells in zip(*block, strict=True)]
        rule = "-" * (sum(len(c[0]) + GAP for c in block) - GAP)
        head = [line for line in drawn[:2] if line]
        lines += [*([""] if lines else []), *head, rule, *drawn[2:]]
    if any(cell.endswith(STAR) for row in rows for cell in row):
        lines.append(note)
    return lines


def _column(header: str, cells: list[str], is_first: bool) -> list[str]:
    """Two lines of header and all cells, padded to one width. Numbers stay below each other where some have a star."""
    lines = [*_two_lines(header, max((len(cell) for cell in cells), default=0)), *cells]
    if not is_first and any(cell.endswith(STAR) for cell in cells):
        lines = [line if line.endswith(STAR) else line + " " * len(STAR) for line in lines]
    width = max(map(len, lines))
    return [line.ljust(width) if is_first else line.rjust(width) for line in lines]


def _two_lines(header: str, width: int) -> tuple[str, str]:
    words = header.split()
    if len(header) <= max(width, SHORT) or len(words) == 1:
        return "", header
    breaks = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
    return min(breaks, key=lambda lines: max(map(len, lines)))


# --- What stands in them


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _funnel(connection: Connection, definitions: Definitions) -> list[str]:
    steps = definitions.funnel.steps
    people = [step.people for step in steps]
    pairs = [(a.noun, b.noun) for a, b in pairwise(steps)]
    cohorts = connection.execute(
        f"select cohort_month, is_mature, {', '.join(people + [f'{a}_to_{b}_rate' for a, b in pairs])}"
        " from fct_acquisition_funnel order by cohort_month desc limit ?",
        (COHORTS,),
    ).fetchall()
    rows = []
    for month, is_mature, *numbers in reversed(cohorts):
        counts = [f"{n:,}" for n in numbers[: len(people)]]
        rows.append([month[:7] + ("" if is_mature else STAR), *counts, *map(_percent, numbers[len(people) :])])
    headers = [*people, *(f"{a} to {b}" for a, b in pairs)]
    return table(["cohort", *(h.replace("_", " ") for h in headers)], rows, "* people of this cohort can still convert")


def _retention(connection: Connection) -> list[str]:
    cells = connection.execute(
        "select cohort_month, months_since_signup, cohort_size, retention_rate, is_complete from fct_engagement_cohorts"
        " where cohort_month in"
        " (select distinct cohort_month from fct_engagement_cohorts order by cohort_month desc limit ?)"
        " order by cohort_month, months_since_signup",
        (COHORTS,),
    ).fetchall()
    ages = sorted({age for _, age, *_ in cells})
    rows = []
    for month in sorted({cell[0] for cell in cells}):
        row = [cell for cell in cells if cell[0] == month]
        rates = {age: _percent(rate) + ("" if is_complete else STAR) for _, age, _, rate, is_complete in row}
        rows.append([month[:7], f"{row[0][2]:,}", *(rates.get(age, "") for age in ages)])
    return table(["cohort", "size", *(f"month {age}" for age in ages)], rows, "* the month is not over")


def _health(connection: Connection, definitions: Definitions) -> list[str]:
    found = {
        status: numbers
        for status, *numbers in connection.execute(
            "select health_status, count(*), avg(overall_health_score), sum(is_paying), sum(is_at_risk),"
            " sum(is_upsell_ready) from dim_user_health group by health_status"
        )
    }
    rows = []
    for status in definitions.health.statuses:
        users, score, *flags = found.get(status.name, (0, None, 0, 0, 0))
        rows.append(
            [status.name, f"{users:,}", "-" if score is None else f"{score:.1f}", *(f"{flag:,}" for flag in flags)]
        )
    return table(["status", "users", "mean score", "paying", "at risk", "ready for an upsell"], rows)


def _checks(connection: Connection) -> str:
    passed, warned, failed = connection.execute(
        "select count(*) filter (where rows_found = 0),"
        " count(*) filter (where rows_found > 0 and severity = 'warn'),"
        " count(*) filter (where rows_found > 0 and severity <> 'warn') from check_results"
        " where run_id = (select published_run_id from run_state)"
    ).fetchone()
    rejected, landed = connection.execute(
        "select (select count(*) from rejects), (select coalesce(sum(rows_landed), 0) from raw_batches)"
    ).fetchone()
    return (
        f"Checks: {passed} passed, {warned} warned, {failed} failed. "
        f"Rows: {landed:,} landed, {rejected:,} rejected (table rejects says why)."
    )
