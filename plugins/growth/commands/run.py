"""`run`: prepare everything, run the DAG once through Airflow, show the numbers. `erase`: the same for its own DAG."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from growth import emails
from growth.commands.summary import print_summary, print_times
from growth.commands.where import shown
from growth.engines import Place
from growth.errors import UserError
from growth.language import definitions
from growth.local_airflow.dag_run import DagRun, run_dag, run_lock
from growth.local_airflow.environment import airflow_environment, prepare_airflow
from growth.sources import open_source
from growth.sources.contract import Source
from growth.warehouse.erase import asked_for
from growth.warehouse.landing import refuse_other_source
from growth.warehouse.scripts import connecting

# The holder that the warehouse's lease names for runs of this command.
HOLDER = "make run"


def run(
    root: Path, environment: Mapping[str, str], place: Place, day: date | None, first: date | None, rebuild: bool
) -> int:
    """Run the days up to day, or all that are new; 0 only if the run has published. Raises UserError."""
    started = time.perf_counter()
    words = definitions.load()
    _refuse_days_before(words.quality.earliest_date, DAY=day, FROM=first)
    environment = _airflow_environment(root, environment, place)
    log = Path(environment["AIRFLOW_HOME"]) / "run.log"
    source = open_source(environment)
    emails.chosen(environment)
    # Mistakes are refused before anything is written, and before Airflow takes its seconds.
    first, last = _days(place, source, day, first)
    print("Preparing Airflow ...", flush=True)
    prepare_airflow(root, environment)
    _make_folder_of(place)
    with run_lock(log.with_name("run.lock")) as lock:
        _free_killed_run(place)
        setup_seconds = time.perf_counter() - started
        print(f"Running {first} to {last} of source {source.name}:" if first < last else f"Running {last}:", flush=True)
        conf = {"from_date": first.isoformat(), "rebuild": rebuild}
        done = run_dag(root, environment, "saas_growth", last, conf, log, lock)
    if not done.succeeded:
        return _report_failure(done, log)
    with connecting(place) as connection:
        times = {"setup": setup_seconds, "Airflow's start": done.start_seconds, "tasks": done.task_seconds}
        print_times(connection, words, place, times)
        print_summary(connection, words, place, Path.cwd())
    return 0


def erase(root: Path, environment: Mapping[str, str], place: Place, users: str, asked_by: str, reason: str) -> int:
    """Erase people through the DAG saas_growth_erase; users are their ids, with commas. Raises UserError."""
    asked_for(users)
    day = _as_of_day(place)
    if day is None:
        raise UserError(f"The warehouse {place} holds nobody: name the one that has these people with WAREHOUSE=.")
    environment = _airflow_environment(root, environment, place)
    log = Path(environment["AIRFLOW_HOME"]) / "erase.log"
    prepare_airflow(root, environment)
    with run_lock(log.with_name("run.lock")) as lock:
        _free_killed_run(place)
        conf = {"users": users, "asked_by": asked_by, "reason": reason}
        done = run_dag(root, environment, "saas_growth_erase", day, conf, log, lock)
    if not done.succeeded:
        return _report_failure(done, log)
    print("Erased people: {people}, their ids: {ids}, raw rows: {raw_rows}.".format(**done.results["erase"]))
    return 0


def _airflow_environment(root: Path, environment: Mapping[str, str], place: Place) -> dict[str, str]:
    own = {"AIRFLOW_CONN_GROWTH_WAREHOUSE": place.as_json(), "SAAS_GROWTH_HELD_BY": HOLDER}
    return airflow_environment(root, {**environment, **own})


def _refuse_days_before(earliest: date, **given: date | None) -> None:
    for name, day in given.items():
        if day and day < earliest:
            raise UserError(f"{name}={day} lies before {earliest}, and no row of then counts: give a later date.")


def _days(place: Place, source: Source, day: date | None, first: date | None) -> tuple[date, date]:
    """The days to run: those after the warehouse's as-of day, or all that the source has.

    Raises UserError where there is no such day, and where the warehouse holds another source.
    """
    today = datetime.now(UTC).date()
    landed = _as_of_day(place, source)
    yesterday = today - timedelta(days=1)
    last = day or min(source.last_day or yesterday, yesterday)
    if last > today:
        raise UserError(f"DAY={last} has not begun (it is {today} in UTC): give a day that has.")
    if first and first > last:
        raise UserError(f"FROM={first} lies after the last day, {last}: give an earlier FROM or a later DAY.")
    if landed is None and last < source.first_day:
        raise UserError(
            f"The source {source.name} begins on {source.first_day}, after the last day to run, {last}:"
            " give a later DAY, or set the clock of this machine."
        )
    if first:
        return first, last
    return min(landed + timedelta(days=1) if landed else source.first_day, last), last


def _as_of_day(place: Place, source: Source | None = None) -> date | None:
    """The latest day that has landed, None where there is none. Refuses a warehouse that holds another source."""
    if not place.engine.exists(place):
        return None
    with connecting(place) as connection:
        if "run_state" not in place.engine.tables(connection):
            return None
        if source:
            refuse_other_source(connection, source)
        (day,) = connection.execute("select max(as_of_date) from run_state").fetchone()
    return date.fromisoformat(day) if day else None


def _make_folder_of(place: Place) -> None:
    if not place.engine.is_file:
        return
    try:
        place.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder of the warehouse {place} cannot be made ({error.strerror}): name another with WAREHOUSE=."
        ) from None


def _free_killed_run(place: Place) -> None:
    """Delete the lease of a `make run` that was killed, which Airflow would show as running for ever.

    The caller holds the run lock, so no such run is alive in this folder.
    """
    if place.engine.exists(place):
        with connecting(place) as connection:
            if "work_lease" in place.engine.tables(connection):
                connection.execute("delete from work_lease where held_by = ?", (HOLDER,))


def _report_failure(done: DagRun, log: Path) -> int:
    for error in dict.fromkeys(done.errors):
        print(f"\n{error}", file=sys.stderr)
    print(f"\nThe run failed; the output of Airflow and its tasks is in {shown(log)}.", file=sys.stderr)
    return 1
