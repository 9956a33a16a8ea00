"""One run of a DAG in a process of its own, which reports its progress on a pipe, one JSON object a line.

The process does what `airflow dags test` does. That command reports only through its log, whose wording changes
between versions of Airflow; here a listener of Airflow's reports each task, and the log is for people.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from growth.errors import UserError

# --- The command's side: starts the process, shows its progress


class DagRun(NamedTuple):
    """How a run ended."""

    succeeded: bool
    errors: list[str]
    """One line for each task that failed for good, and for what kept Airflow from running any."""
    results: dict[str, Any]
    """What tasks returned, by task."""
    start_seconds: float
    task_seconds: float


@contextmanager
def run_lock(path: Path) -> Iterator[int]:
    """Hold the lock that allows one run in this folder; gives its descriptor, which the run's process inherits.

    It is free only after every process that holds it has ended, so a killed command keeps it as long as its Airflow
    works. Raises UserError where it is taken.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("Another `make run` is at work in this folder: let it end first.") from None
        yield file.fileno()


def run_dag(
    root: Path,
    environment: Mapping[str, str],
    dag_id: str,
    day: date,
    conf: Mapping[str, object],
    log: Path,
    lock: int,
) -> DagRun:
    """Run a DAG for a day, and print one line for each task that ends. Airflow's own output goes to the log."""
    reader, writer = os.pipe()
    # -P keeps the folders of the project from hiding installed packages.
    command = [sys.executable, "-P", "-m", __name__, dag_id, day.isoformat(), json.dumps(conf), str(writer)]
    with log.open("wb") as output, open(reader, encoding="utf-8") as reports:
        try:
            process = subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[lock, writer],
            )
        finally:
            os.close(writer)
        with process:
            try:
                done = _follow(process, reports)
            except BaseException:
                process.terminate()
                process.wait()
                raise
    if done.succeeded and not done.results:
        # Airflow counts a run without tasks as a success.
        error = f"Airflow found nothing to run on {day}: give dags/{dag_id}.py an earlier start_date."
        return done._replace(succeeded=False, errors=[error])
    return done


def _follow(process: subprocess.Popen[bytes], reports: Iterable[str]) -> DagRun:
    """Show the reports until the process has ended."""
    launched = time.perf_counter()
    first_task = None
    running: set[str] = set()
    waiting: set[str] = set()
    errors: list[str] = []
    results: dict[str, Any] = {}
    state = None
    for report in map(json.loads, reports):
        task = report.get("task")
        if task and first_task is None:
            first_task = time.perf_counter()
            print(f"  Airflow started in {first_task - launched:.1f} s", flush=True)
        match report["event"]:
            case "task began" if task in running and task not in waiting:
                # A sensor that has to wait begins several times before it ends.
                waiting.add(task)
                print(f"  {task:<36}waits; the log says for what", flush=True)
            case "task began":
                running.add(task)
            case "task ended":
                running.discard(task)
                match report["state"]:
                    case "success":
                        end = ""
                        results[task] = report["result"]
                    case "up_for_retry":
                        end = f"  is tried again: {report['error']}"
                    case _:
                        end = "  failed"
                        errors.append(report["error"])
                print(f"  {task:<36}{report['seconds']:6.1f} s{end}", flush=True)
            case "run failed to start":
                errors.append(report["error"])
            case "run ended":
                state = report["state"]
    ended = time.perf_counter()
    status = process.wait()
    if status < 0:
        errors.append(f"Airflow was stopped from outside (signal {-status}): run again, it goes on from there.")
    succeeded = status == 0 and state == "success"
    first_task = first_task or ended
    return DagRun(succeeded, errors, results, first_task - launched, ended - first_task)


# --- The process's side: runs the DAG, reports


class Reports:
    """Writes reports to the pipe."""

    def __init__(self, descriptor: int) -> None:
        # Processes that a task starts must not keep the pipe open.
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def send(self, event: str, **details: object) -> None:
        # If the command has been killed, the pipe has no reader; the run still goes on to its end.
        with suppress(BrokenPipeError):
            os.write(self._descriptor, json.dumps({"event": event, **details}, default=str).encode() + b"\n")


def execute(dag_id: str, day: date, conf: dict[str, object], reports: Reports) -> int:
    """Run the DAG in this process; 0 if it succeeded."""
    try:
        # Imported here, because Airflow takes seconds and the command's side does not need it.
        from airflow.dag_processing.dagbag import DagBag
        from airflow.sdk.listener import get_listener_manager

        file = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{dag_id}.py"
        bag = DagBag(dag_folder=file)
        if dag_id not in bag.dags:
            reason = "\n".join(bag.import_errors.values()).strip() or "it defines no such DAG"
            print(reason)
            raise UserError(f"{file} does not import: {reason.splitlines()[-1]}")
        get_listener_manager().add_listener(_listener(reports))
        run = bag.dags[dag_id].test(logical_date=datetime(day.year, day.month, day.day, tzinfo=UTC), run_conf=conf)
    except Exception as error:
        traceback.print_exc()
        reports.send("run failed to start", error=_one_line(error))
        return 1
    reports.send("run ended", state=run.state)
    return 0 if run.state == "success" else 1


def _listener(reports: Reports) -> object:
    from airflow.listeners import hookimpl

    began: dict[str, float] = {}

    def ended(task_instance: Any, state: str, error: str | None = None) -> None:
        task, now = task_instance.task_id, time.perf_counter()
        # If a task's statement cannot be rendered, the task fails before it begins.
        seconds = now - began.pop(task, now)
        result = task_instance.xcom_pull(task_ids=task) if state == "success" else None
        reports.send("task ended", task=task, state=state, seconds=seconds, error=error, result=result)

    class Listener:
        @hookimpl
        def on_task_instance_running(self, task_instance: Any) -> None:
            began[task_instance.task_id] = time.perf_counter()
            reports.send("task began", task=task_instance.task_id)

        @hookimpl
        def on_task_instance_success(self, task_instance: Any) -> None:
            ended(task_instance, "success")

        @hookimpl
        def on_task_instance_failed(self, task_instance: Any, error: object) -> None:
            # The value, because str() of this enumeration gives its name as well.
            ended(task_instance, task_instance.state.value, _one_line(error))

    return Listener()


def _one_line(error: object) -> str:
    """The message of an error that was raised for people; of any other error also its type."""
    from airflow.sdk.exceptions import AirflowException

    text = (str(error).splitlines() or [""])[0]
    if error is None:
        return "The task failed without an error."
    if text and isinstance(error, (str, UserError, AirflowException)):
        return text
    return f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    _dag_id, _day, _conf, _descriptor = sys.argv[1:]
    _status = execute(_dag_id, date.fromisoformat(_day), json.loads(_conf), Reports(int(_descriptor)))
    logging.shutdown()
    sys.stdout.flush()
    # A regular exit frees all of Airflow's objects one by one, which takes seconds.
    os._exit(_status)
