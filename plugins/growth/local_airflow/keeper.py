"""Runs Airflow's components and stops them together: `python -m growth.local_airflow.keeper LOG LOCK`.

It is a process of its own and the leader of a session that contains every process of Airflow, so that all of them can
be found and ended. Its standard input is a pipe from the process that started it; when the pipe closes, because that
process ended, was interrupted or was killed, the keeper stops everything.

`airflow standalone` is not used: its log servers listen on all addresses of the machine, on ports that two projects
would share, and its children survive it when it is stopped.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from logging.handlers import RotatingFileHandler

import psutil

from growth.local_airflow.environment import airflow_command

# Log servers are not needed: the API server reads the same folder.
COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}

LOG_BYTES = 10_000_000
TASKS_GRACE_SECONDS = 10.0
SERVER_GRACE_SECONDS = 3.0


def keep(log_path: str, lock: int) -> int:
    """Run the components; 0 after an order to stop, 1 when one of them has stopped by itself."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()

    log = _open_log(log_path)
    processes = {name: _start(name, options, lock) for name, options in COMPONENTS.items()}
    copiers = [threading.Thread(target=_copy_output, args=(*item, log), daemon=True) for item in processes.items()]
    for copier in copiers:
        copier.start()
    fallen = None
    while fallen is None and not stop.wait(0.5):
        fallen = next((name for name, process in processes.items() if process.poll() is not None), None)
    _stop_in_order(processes)
    for copier in copiers:
        # The last lines of a component say why it stopped.
        copier.join(timeout=1)
    if fallen is None:
        return 0
    # Last, because it fails where the terminal is gone.
    print(
        f"Airflow's {fallen} stopped by itself (exit status {processes[fallen].returncode}); read {log_path}",
        file=sys.stderr,
    )
    return 1


def _wait_for_end_of_input(stop: threading.Event) -> None:
    # Not sys.stdin: the interpreter aborts at its end if a thread still reads from that buffer.
    while os.read(0, 1):
        pass
    stop.set()


def _open_log(path: str) -> logging.Logger:
    """One file of limited size for all components."""
    log = logging.getLogger("airflow-components")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"))
    return log


def _start(name: str, options: Iterable[str], lock: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [airflow_command(), name, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        # Every process of Airflow inherits the lock, so it is free only after the last of them has ended.
        pass_fds=[lock],
    )


def _copy_output(name: str, process: subprocess.Popen[str], log: logging.Logger) -> None:
    for line in process.stdout:
        log.info("%-13s | %s", name, line.rstrip())


def _stop_in_order(processes: dict[str, subprocess.Popen[str]]) -> None:
    """Stop the API server last: tasks report their end to it."""
    session, server = os.getpid(), processes["api-server"].pid
    # A subprocess of a task may have a session of its own, but as long as its parent lives it is a descendant.
    descendants = psutil.Process().children(recursive=True)

    def others() -> list[int]:
        return [pid for pid in session_members(session) if pid != server]

    _signal(others(), signal.SIGTERM)
    _wait(lambda: not others(), TASKS_GRACE_SECONDS)
    _signal(session_members(session), signal.SIGTERM)
    _wait(lambda: not session_members(session), SERVER_GRACE_SECONDS)
    kill_session(session)
    for process in descendants:
        with suppress(psutil.Error):
            process.kill()
    for process in processes.values():
        process.wait()


def session_members(session: int) -> list[int]:
    """The living processes of a session, without its leader.

    Not those of a process group, because Airflow gives each task a process group of its own.
    """
    members = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if pid != session and os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
    return members


def kill_session(session: int) -> None:
    """Kill the members of a session until none is left."""

    def none_left() -> bool:
        left = session_members(session)
        _signal(left, signal.SIGKILL)
        return not left

    _wait(none_left, SERVER_GRACE_SECONDS)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1], int(sys.argv[2])))
