"""Airflow with its UI on this machine: one in each project, started by the keeper, ready once it says so itself."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from growth.errors import UserError
from growth.local_airflow.api import (
    NotReady,
    ensure_passwords,
    find_dag,
    get_json,
    has_simple_login,
    require_heartbeats,
    ui_address,
)
from growth.local_airflow.environment import airflow_environment
from growth.local_airflow.keeper import TASKS_GRACE_SECONDS, kill_session

DAG_ID = "saas_growth"
START_SECONDS = 180.0
STOP_SECONDS = 30.0


def server_environment(root: Path, base: Mapping[str, str], port: int | None = None) -> dict[str, str]:
    """Airflow's environment with the port of the UI: the one given, Airflow's own setting, or 8080."""
    env = airflow_environment(root, base)
    env["AIRFLOW__API__PORT"] = str(port or env.get("AIRFLOW__API__PORT") or 8080)
    # Tasks report to the API server. Without this setting Airflow sends them to port 8080, whatever the port is.
    env.setdefault("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{ui_address(env)}/execution/")
    return env


def refuse_taken_port(host: str, port: int) -> None:
    """Raise UserError where another process listens on the port: Airflow would say so only in its log."""
    with socket.socket() as probe:
        # Binding is not enough: macOS allows it on 127.0.0.1 beside a listener on all addresses.
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0
    with socket.socket() as probe:
        # As the API server does, so that connections of one that was just stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            taken = True
    if taken:
        other = port + 1 if port < 65535 else port - 1
        raise UserError(f"Port {port} on {host} is taken; stop what uses it or choose another: make up PORT={other}.")


@contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold the lock that allows one Airflow in this project; two would share one metadata database.

    Every process of Airflow inherits the lock, and the file holds the pid of the process in charge. If that process
    has ended and the lock is still held, the rest of a killed Airflow is running: it is stopped.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        if not _lock(file.fileno()):
            number = int(file.read() or 0)
            if number and not _is_alive(number):
                kill_session(number)
            if not _lock(file.fileno()):
                raise UserError(f"Airflow runs already in this project; stop it there with Ctrl-C, or: kill {number}")
        _put_in_charge(file.fileno(), os.getpid())
        yield file.fileno()


def _put_in_charge(lock: int, pid: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(pid).encode(), 0)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def running(root: Path, env: Mapping[str, str], lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start Airflow's keeper and give it; however the block ends, no process of Airflow runs afterwards."""
    ensure_passwords(env)
    log = log_path(env)
    print(f"Starting Airflow; its components write to {log}", flush=True)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "growth.local_airflow.keeper", str(log), str(lock)],
        cwd=root,
        env=env,
        stdin=subprocess.PIPE,
        pass_fds=[lock],
        start_new_session=True,
    )
    try:
        _put_in_charge(lock, keeper.pid)
        yield keeper
    finally:
        if keeper.poll() is None:
            # The end of its input tells the keeper to stop. A second Ctrl-C skips the wait.
            keeper.stdin.close()
            with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                with suppress(OSError):  # the terminal may be gone
                    print(f"\nStopping Airflow; tasks have {TASKS_GRACE_SECONDS:.0f} seconds to end ...", flush=True)
                keeper.wait(STOP_SECONDS)
        keeper.kill()
        keeper.wait()
        kill_session(keeper.pid)


def log_path(env: Mapping[str, str]) -> Path:
    """The file with the output of all components."""
    return Path(env["AIRFLOW_HOME"]) / "logs" / "up.log"


def wait_until_ready(keeper: subprocess.Popen[bytes], env: Mapping[str, str]) -> bool:
    """Wait for each part of Airflow and print it; False when a component has stopped.

    Raises UserError with the last cause where a part is not ready in time, or when the DAG's file does not import.
    """
    address, started = ui_address(env), datetime.now(UTC)
    deadline = time.monotonic() + START_SECONDS

    def wait_for(part: str, require: Callable[[], object]) -> bool:
        while True:
            try:
                require()
                break
            except NotReady as cause:
                if keeper.poll() is not None:
                    return False
                if time.monotonic() > deadline:
                    raise UserError(
                        f"Airflow is not up after {START_SECONDS:.0f} seconds, because {cause}: read {log_path(env)}."
                    ) from None
            time.sleep(0.5)
        print(f"  {part} - yes", flush=True)
        return True

    def require_dag() -> None:
        if find_dag(address, env, DAG_ID, since=started)["is_paused"]:
            print(f"  {DAG_ID} is paused, as it was left: nothing runs until it is unpaused in the UI")

    return (
        wait_for("the API server answers", lambda: get_json(f"{address}/api/v2/version"))
        and wait_for("scheduler and DAG processor are healthy", lambda: require_heartbeats(address, since=started))
        # With another auth manager there is no password to ask with.
        and (not has_simple_login(env) or wait_for(f"the DAG {DAG_ID} is there", require_dag))
    )
