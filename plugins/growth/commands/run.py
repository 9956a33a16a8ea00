"""make run: everything set up, the DAG run once through Airflow, and a page on the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from growth import emails
from growth.commands.summary import print_page, print_times
from growth.engines import SUFFIXES, Place, place_of
from growth.errors import UserError
from growth.language import definitions
from growth.local_airflow.environment import airflow_command, airflow_environment, prepare_airflow
from growth.sources import absolute_locations, open_source
from growth.sources.contract import Source
from growth.warehouse.erase import asked_for
from growth.warehouse.landing import connecting, refuse_other_source

# The hook of SQLite makes a URI of the path: ? and # end it there, and % starts an escape.
FORBIDDEN_IN_FILES = "?#%"

_TASK = re.compile(r"\[DAG TEST\] (starting|end task) task_id=(\w+)")
_SENTENCE = re.compile(r"^(?:\w+\.)*(?:AirflowFailException|AirflowException): (.+)$")


class Asked(NamedTuple):
    """What the person asked for."""

    day: date | None
    first: date | None
    rebuild: bool


def run(root: Path) -> int:
    """Exit status 0 only if the run has published. Raises UserError."""
    try:
        return _run(root)
    except KeyboardInterrupt:
        raise UserError("The run was interrupted: run again, it goes on from there.") from None


def _run(root: Path) -> int:
    started = time.perf_counter()
    words = definitions.load()
    asked = _asked(os.environ, words.quality.earliest_date)
    place = warehouse_place(root, os.environ)
    environment = airflow_environment(root, _base(root, place))
    log = Path(environment["AIRFLOW_HOME"]) / "run.log"
    source = open_source(environment)
    emails.chosen(environment)
    # What is wrong is said before anything is made, and before Airflow takes its seconds.
    first, last = _days(place, source, asked)
    print("Preparing Airflow ...", flush=True)
    prepare_airflow(root, environment)
    _make_folder_of(place)
    with _alone(log.with_name("run.lock")) as lock:
        _forget_killed_run(place)
        times = {"setup": time.perf_counter() - started}
        print(f"Running {first} to {last} of source {source.name}:" if first < last else f"Running {last}:", flush=True)
        conf = {"from_date": first.isoformat(), "rebuild": asked.rebuild}
        started = time.perf_counter()
        ended = _dags_test(root, environment, "saas_growth", last, conf, log, lock)
        times["Airflow with its tasks"] = time.perf_counter() - started
    if ended.failed_at("publish"):
        return _say(ended, _shown(log, root))
    with connecting(place) as connection:
        print_times(connection, times)
        print_page(connection, words, place, root)
    return 0


def erase(root: Path) -> int:
    """Erase the people whom the environment names, through the DAG saas_growth_erase. Raises UserError."""
    place = warehouse_place(root, os.environ)
    asked = {key: os.environ.get(f"SAAS_GROWTH_ERASE_{key.upper()}", "") for key in ("users", "asked_by", "reason")}
    asked_for(asked["users"])
    if not asked["asked_by"] or not asked["reason"]:
        raise UserError("Say who asks for it and why: make erase USER=<user id> BY=<who> WHY=<reason>.")
    if not place.engine.exists(place):
        raise UserError(f"There is no warehouse {place}: name the one that has these people with WAREHOUSE=.")
    environment = airflow_environment(root, _base(root, place))
    log = Path(environment["AIRFLOW_HOME"]) / "erase.log"
    prepare_airflow(root, environment)
    with _alone(log.with_name("run.lock")) as lock:
        with connecting(place) as connection:
            (day,) = connection.execute("select as_of_date from run_state").fetchone()
        _forget_killed_run(place)
        ended = _dags_test(root, environment, "saas_growth_erase", date.fromisoformat(day), asked, log, lock)
    if ended.failed_at("erase"):
        return _say(ended, _shown(log, root))
    print(next(line for line in log.read_text(encoding="utf-8").splitlines() if "Erased: " in line).split("] ")[-1])
    return 0


def _base(root: Path, place: Place) -> dict[str, str]:
    """The environment of this command, with its warehouse, and with a path that Airflow's tasks read as it does."""
    base = dict(os.environ)
    base["AIRFLOW_CONN_GROWTH_WAREHOUSE"] = place.as_json()
    base["SAAS_GROWTH_HELD_BY"] = "make run"
    if folder := base.get("SAAS_GROWTH_SOURCE_PATH"):
        names = (base.get("SAAS_GROWTH_SOURCE") or "synthetic").split(",")
        base["SAAS_GROWTH_SOURCE_PATH"] = absolute_locations(folder, names, root)
    return base


def _asked(environment: Mapping[str, str], earliest: date) -> Asked:
    def day(name: str) -> date | None:
        text = environment.get(name)
        if not text:
            return None
        try:
            given = date.fromisoformat(text)
        except ValueError:
            raise UserError(f"{name} is {text!r}: give a date such as {name}=2026-10-31.") from None
        if given < earliest:
            raise UserError(f"{name}={given} lies before {earliest}, and no row of then counts: give a later date.")
        return given

    return Asked(day("DAY"), day("FROM"), environment.get("REBUILD", "") not in ("", "0"))


def warehouse_place(root: Path, environment: Mapping[str, str]) -> Place:
    """Where it is: a file that WAREHOUSE names, or what the connection says, or a file of the source's below data/."""
    if named := environment.get("WAREHOUSE"):
        path = root / Path(named).expanduser()
        place = Place(SUFFIXES.get(path.suffix, "sqlite"), str(path))
    elif connection := environment.get("AIRFLOW_CONN_GROWTH_WAREHOUSE"):
        place = place_of(connection)
    else:
        source = ",".join(sorted((environment.get("SAAS_GROWTH_SOURCE") or "synthetic").split(",")))
        place = Place("sqlite", str(root / "data" / ("saas_funnel.db" if source == "synthetic" else f"{source}.db")))
    if not place.engine.is_file:
        return place
    path = place.path.absolute()
    if found := [character for character in FORBIDDEN_IN_FILES if character in str(path)]:
        raise UserError(
            f"The warehouse {path} has {' and '.join(found)} in its name, which Airflow misreads: rename it."
        )
    if path.is_dir():
        raise UserError(f"The warehouse {path} is a folder: name a file in it with WAREHOUSE=.")
    return place._replace(host=str(path))


def _days(place: Place, source: Source, asked: Asked) -> tuple[date, date]:
    """The days to run: what is new since the warehouse's as-of day, or all that the source has.

    Raises UserError where there is no such day, and where the warehouse holds another source.
    """
    today = datetime.now(UTC).date()
    landed = _landed(place, source)
    yesterday = today - timedelta(days=1)
    last = asked.day or min(source.last_day or yesterday, yesterday)
    if last > today:
        raise UserError(f"DAY={last} has not begun (it is {today} in UTC): give a day that has.")
    if asked.first and asked.first > last:
        raise UserError(f"FROM={asked.first} lies after the last day, {last}: give an earlier FROM or a later DAY.")
    if landed is None and last < source.first_day:
        raise UserError(
            f"The source {source.name} begins on {source.first_day}, after the last day to run, {last}:"
            " give a later DAY, or set the clock of this machine."
        )
    if asked.first:
        return asked.first, last
    return min(landed + timedelta(days=1) if landed else source.first_day, last), last


def _landed(place: Place, source: Source) -> date | None:
    """The as-of day of the warehouse; None while nothing has landed in it. Refuses the batches of another source."""
    if not place.engine.exists(place):
        return None
    with connecting(place) as connection:
        if "run_state" not in place.engine.tables(connection):
            return None
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


def _forget_killed_run(place: Place) -> None:
    """A `make run` that was killed holds the warehouse still, and Airflow believes it running: this one takes over."""
    if place.engine.exists(place):
        with connecting(place) as connection:
            if "lease" in place.engine.tables(connection):
                connection.execute("delete from lease where held_by = 'make run'")


@contextmanager
def _alone(lock: Path) -> Iterator[int]:
    """Holds the lock, whose descriptor is given, until this process and all that inherit it have ended."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("Another `make run` is at work in this folder: let it end first.") from None
        yield file.fileno()


class Ended(NamedTuple):
    """How a run of a DAG ended."""

    status: int
    tasks: set[str]
    """Those that began."""
    sentences: list[str]
    """What tasks failed with."""

    def failed_at(self, last_task: str) -> bool:
        """Whether the run did not come to its end, which is that of its last task."""
        return self.status != 0 or last_task not in self.tasks


def _say(ended: Ended, log: str) -> int:
    for sentence in dict.fromkeys(ended.sentences):
        print(f"\n{sentence}", file=sys.stderr)
    print(f"\nThe run failed; what Airflow and its tasks said is in {log}.", file=sys.stderr)
    return 1


def _dags_test(
    root: Path,
    environment: Mapping[str, str],
    dag_id: str,
    day: date,
    conf: Mapping[str, object],
    log: Path,
    lock: int,
) -> Ended:
    """Run a DAG in one process of Airflow's."""
    command = [airflow_command(), "dags", "test", dag_id, day.isoformat(), "--conf", json.dumps(conf)]
    begun: dict[str, float] = {}
    sentences = []
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(
            command,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=[lock],
        ) as process,
    ):
        assert process.stdout
        try:
            for line in process.stdout:
                out.write(line)
                if match := _SENTENCE.match(line):
                    sentences.append(match[1])
                elif (match := _TASK.search(line)) and match[1] == "starting":
                    begun[match[2]] = time.perf_counter()
                elif match:
                    seconds = time.perf_counter() - begun.get(match[2], time.perf_counter())
                    print(f"  {match[2]:<36}{seconds:6.1f} s", flush=True)
        except BaseException:
            process.terminate()
            raise
    if not process.returncode and not begun:
        # Airflow is content with that.
        sentences.append(f"Airflow found nothing to run on {day}: give dags/{dag_id}.py an earlier start_date.")
    return Ended(process.returncode, set(begun), sentences)


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
