"""make run: everything set up, the DAG run once through Airflow, and a page on the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from growth import definitions
from growth.environment import airflow_command, airflow_environment, prepare_airflow
from growth.errors import UserError
from growth.page import print_page, print_times
from growth.sources import Source, open_source
from growth.warehouse import plain_errors

_TASK = re.compile(r"\[DAG TEST\] (starting|end task) task_id=(\w+)")
_SENTENCE = re.compile(r"^(?:\w+\.)*(?:AirflowFailException|AirflowException): (.+)$")


class Asked(NamedTuple):
    """What the person asked for."""

    day: date | None
    first: date | None
    rebuild: bool


def run(root: Path) -> int:
    """Exit status 0 only if every task succeeded."""
    times: dict[str, float] = {}
    started = time.perf_counter()
    definitions.load()
    asked = _asked(os.environ)
    source = open_source()
    warehouse = warehouse_path(root, os.environ)
    base = dict(os.environ)
    base["AIRFLOW_CONN_GROWTH_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(warehouse)})
    base["SAAS_GROWTH_HELD_BY"] = "make run"
    environment = airflow_environment(root, base)
    print("Preparing Airflow ...", flush=True)
    prepare_airflow(root, environment)
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    with _alone(Path(environment["AIRFLOW_HOME"]) / "run.lock"):
        with plain_errors(str(warehouse)):
            first, last = _days(warehouse, source, asked)
            _forget_killed_run(warehouse)
        times["setup"] = time.perf_counter() - started
        print(f"Running {first} to {last} of source {source.name}:" if first < last else f"Running {last}:", flush=True)
        log = Path(environment["AIRFLOW_HOME"]) / "run.log"
        conf = {"from_date": first.isoformat(), "rebuild": asked.rebuild}
        started = time.perf_counter()
        status, sentences = _dags_test(root, environment, last, conf, log)
        times["Airflow with all tasks"] = time.perf_counter() - started
    if status:
        for sentence in dict.fromkeys(sentences):
            print(f"\n{sentence}", file=sys.stderr)
        print(f"\nThe run failed; what Airflow and its tasks said is in {log.relative_to(root)}.", file=sys.stderr)
        return 1
    with closing(sqlite3.connect(warehouse)) as connection:
        print_times(connection, times)
        print_page(connection, definitions.load(), _shown(warehouse, root))
    return 0


def _asked(environment: Mapping[str, str]) -> Asked:
    def day(name: str) -> date | None:
        text = environment.get(name, "")
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise UserError(f"{name} is {text!r}: give a date such as {name}=2026-10-31.") from None

    return Asked(day("DAY"), day("FROM"), environment.get("REBUILD", "") not in ("", "0"))


def warehouse_path(root: Path, environment: Mapping[str, str]) -> Path:
    """The file: WAREHOUSE, or what the connection names, or a file of the source's own below data/."""
    if named := environment.get("WAREHOUSE"):
        return (root / named).absolute()
    if connection := environment.get("AIRFLOW_CONN_GROWTH_WAREHOUSE"):
        try:
            return Path(json.loads(connection)["host"])
        except (ValueError, KeyError, TypeError):
            raise UserError(
                "AIRFLOW_CONN_GROWTH_WAREHOUSE is not of the form"
                ' {"conn_type": "sqlite", "host": "/folder/file.db"}: mend it, or name a file with WAREHOUSE=.'
            ) from None
    source = environment.get("SAAS_GROWTH_SOURCE") or "synthetic"
    return root / "data" / ("saas_funnel.db" if source == "synthetic" else f"{source}.db")


def _days(warehouse: Path, source: Source, asked: Asked) -> tuple[date, date]:
    """The days to run: what is new since the warehouse's as-of day, or all that the source has."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    last = asked.day or min(source.last_day or yesterday, yesterday)
    if asked.first:
        first = asked.first
    elif (landed := _as_of(warehouse)) is None:
        first = min(source.first_day, last)
    else:
        first = min(landed + timedelta(days=1), last)
    if first > last:
        raise UserError(f"FROM={first} lies after the last day, {last}: give an earlier FROM or a later DAY.")
    return first, last


def _as_of(warehouse: Path) -> date | None:
    if not warehouse.exists() or not warehouse.stat().st_size:
        return None
    with closing(sqlite3.connect(warehouse)) as connection:
        if not connection.execute("select 1 from sqlite_master where name = 'run_state'").fetchone():
            return None
        (day,) = connection.execute("select as_of_date from run_state").fetchone()
    return date.fromisoformat(day) if day else None


def _forget_killed_run(warehouse: Path) -> None:
    """A `make run` that was killed holds the warehouse still, and Airflow believes it running: this one takes over."""
    if _as_of(warehouse) is not None:
        with closing(sqlite3.connect(warehouse, timeout=60)) as connection, connection:
            connection.execute("delete from lease where held_by = 'make run'")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("Another `make run` is at work in this folder: let it end first.") from None
        yield


def _dags_test(
    root: Path, environment: Mapping[str, str], day: date, conf: Mapping[str, object], log: Path
) -> tuple[int, list[str]]:
    """Run the DAG in one process of Airflow's; gives its exit status and the sentences that tasks failed with."""
    command = [airflow_command(), "dags", "test", "saas_growth", day.isoformat(), "--conf", json.dumps(conf)]
    sentences = []
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout
        begun: dict[str, float] = {}
        for line in process.stdout:
            out.write(line)
            if match := _TASK.search(line):
                what, task = match.groups()
                if what == "starting":
                    begun[task] = time.perf_counter()
                else:
                    print(
                        f"  {task:<36}{time.perf_counter() - begun.get(task, time.perf_counter()):6.1f} s", flush=True
                    )
            if match := _SENTENCE.match(line):
                sentences.append(match[1])
        return process.wait(), sentences


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
