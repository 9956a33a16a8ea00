"""Runs Airflow's components and takes them down together: `python -m growth.local_airflow.keeper LOG LOCK`.

It is a process of its own, the leader of a session that holds every process of Airflow, so that they can be
found and ended however the one who started it ends: its standard input is a pipe from there, and the end of
that pipe, by intention, Ctrl-C or kill -9, is the order to stop.

`airflow standalone` is not used: its log servers listen on every address of the machine, on ports that two
projects would share, and when it is stopped its children live on.
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

# Nobody needs the log servers: the API server reads the same folder.
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
    """Start the components; 0 when told to stop, 1 when one of them stopped by itself."""
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
        # Their last words are the ones to read.
        copier.join(timeout=1)
    if fallen is None:
        return 0
    # Last, because a terminal that is gone makes it fail.
    print(
        f"Airflow's {fallen} stopped by itself (exit status {processes[fallen].returncode}); read {log_path}",
        file=sys.stderr,
    )
    return 1


def _wait_for_end_of_input(stop: threading.Event) -> None:
    # Not by sys.stdin: a thread that sleeps in its buffer makes the interpreter abort when it ends.
    while os.read(0, 1):
        pass
    stop.set()


def _open_log(path: str) -> logging.Logger:
    """One file for all components, which does not grow for ever."""
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
        # Every process of Airflow inherits the lock, so it is free only when the last of them has ended.
        pass_fds=[lock],
    )


def _copy_output(name: str, process: subprocess.Popen[str], log: logging.Logger) -> None:
    for line in process.stdout:
        log.info("%-13s | %s", name, line.rstrip())


def _stop_in_order(processes: dict[str, subprocess.Popen[str]]) -> None:
    """The API server last: to it the tasks say how they ended."""
    session, server = os.getpid(), processes["api-server"].pid
    # A task's own subprocess may have a session of its own; it is still a descendant now.
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

    The session and not the process group: Airflow gives each task a process group of its own.
    """
    members = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.Error):
            if pid != session and os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                members.append(pid)
    return members


def kill_session(session: int) -> None:
    """End all members of a session at once, until none is left."""

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
