"""Running checks, which are queries for rows that must not exist, and showing the rows that they find."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from growth.engines import Connection, transaction
from growth.errors import UserError
from growth.language.sql import Check

SHOWN = 10

log = logging.getLogger(__name__)


class ChecksFailed(UserError):
    """At least one check of severity error found rows."""


def run_checks(connection: Connection, checks: Sequence[Check], parameters: Mapping[str, object]) -> float:
    """Run all checks, record and log what each finds, and only then fail; gives the seconds of SQL.

    Raises ChecksFailed with the names of the failed checks. A check of severity warn is logged and does not fail.
    """
    started = time.perf_counter()
    failed = []
    results = []
    for check in checks:
        found, total = _rows_found(connection, check, parameters)
        results.append((parameters["dag_id"], parameters["run_id"], check.name, check.severity, total))
        if not total:
            log.info("passed: %s", check.name)
            continue
        log.log(
            logging.WARNING if check.severity == "warn" else logging.ERROR,
            "%s: %s: %s %s\n%s",
            "warning" if check.severity == "warn" else "FAILED",
            check.name,
            check.sentence,
            f"{total} rows contradict it:" if total > 1 else "One row contradicts it:",
            found,
        )
        if check.severity != "warn":
            failed.append(check.name)
    with transaction(connection):
        connection.executemany(
            "delete from check_results where dag_id = ? and run_id = ? and check_name = ?", [r[:3] for r in results]
        )
        connection.executemany("insert into check_results values (?, ?, ?, ?, ?)", results)
    if failed:
        raise ChecksFailed(
            f"{len(failed)} of {len(checks)} checks failed ({', '.join(failed)}): the rows are in the log;"
            " nothing was published, and the published tables are unchanged."
        )
    return time.perf_counter() - started


def _rows_found(connection: Connection, check: Check, parameters: Mapping[str, object]) -> tuple[str, int]:
    """The first rows as text, one per line, and how many there are."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(check.query, parameters)
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    lines = ["    " + ", ".join(f"{n}={v!r}" for n, v in zip(names, row, strict=True)) for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"    ... and {len(rows) - SHOWN} more")
    return "\n".join(lines), len(rows)
