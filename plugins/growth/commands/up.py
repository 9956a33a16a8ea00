"""Starts Airflow with its UI for this project and runs until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import signal
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
    ensure_passwords,
    find_dag,
    get_json,
    has_simple_login,
    how_to_log_in,
    is_healthy,
    ui_address,
)
from growth.local_airflow.environment import airflow_environment, make_folders, prepare_airflow
from growth.local_airflow.keeper import TASKS_GRACE_SECONDS, kill_session

DAG_ID = "saas_growth"
START_SECONDS = 180.0
STOP_SECONDS = 30.0


def up(root: Path) -> int:
    """Run Airflow until Ctrl-C or SIGTERM (0) or until a component stops by itself (1). Raises UserError."""
    env = ui_environment(root, os.environ)
    make_folders(root, env)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with only_one(Path(env["AIRFLOW_HOME"]) / "up.lock") as lock:
            refuse_taken_port(env["AIRFLOW__API__HOST"], int(env["AIRFLOW__API__PORT"]))
            prepare_airflow(root, env)
            with running(root, env, lock) as keeper:
                if wait_until_ready(keeper, env):
                    print(f"\nAirflow is up: {ui_address(env)}\n{how_to_log_in(env)}\nCtrl-C stops it.", flush=True)
                status = keeper.wait()
            if status < 0:
                raise UserError(f"Airflow was stopped from outside (signal {-status}); read {log_path(env)}")
            return status
    except KeyboardInterrupt:
        return 0


def ui_environment(root: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Airflow's environment with the port of the UI: PORT, or 8080."""
    env = airflow_environment(root, base)
    port = env.get("PORT") or env.get("AIRFLOW__API__PORT") or "8080"
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(f"PORT={port} is not a port; it is a number from 1 to 65535, for example: make up PORT=8081")
    env["AIRFLOW__API__PORT"] = port
    # Tasks report to the API server; left to itself Airflow sends them to port 8080 whatever the port is.
    env.setdefault("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{ui_address(env)}/execution/")
    return env


def refuse_taken_port(host: str, port: int) -> None:
    """Raise UserError where something listens already: Airflow would say so only in its log."""
    with socket.socket() as probe:
        # Binding alone is not enough: macOS lets 127.0.0.1 be bound beside a listener on all addresses.
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0
    with socket.socket() as probe:
        # As the API server does it, so that the connections of one just stopped are not in the way.
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
    """Hold the lock that says whether Airflow runs in this project; two would share one metadata database.

    Every process of Airflow inherits it, and the file holds the number of the one in charge. Where that one is
    gone and the lock is held nevertheless, the rest of a killed Airflow is still running: it is stopped.
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
    """Airflow's keeper, started; whatever happens inside, nothing of Airflow runs afterwards."""
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
            # The end of its input tells the keeper to stop. A second Ctrl-C is for those who will not wait.
            keeper.stdin.close()
            with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                with suppress(OSError):  # a terminal that is gone
                    print(f"\nStopping Airflow; tasks have {TASKS_GRACE_SECONDS:.0f} seconds to end ...", flush=True)
                keeper.wait(STOP_SECONDS)
        keeper.kill()
        keeper.wait()
        kill_session(keeper.pid)


def log_path(env: Mapping[str, str]) -> Path:
    """The file that holds what the components say."""
    return Path(env["AIRFLOW_HOME"]) / "logs" / "up.log"


def wait_until_ready(keeper: subprocess.Popen[bytes], env: Mapping[str, str]) -> bool:
    """Wait for the parts of Airflow, in words; False when one of them has stopped. Raises UserError."""
    address, started = ui_address(env), datetime.now(UTC)
    deadline = time.monotonic() + START_SECONDS

    def wait_for(words: str, check: Callable[[], object]) -> bool:
        while not check():
            if keeper.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise UserError(
                    f"Airflow is not up after {START_SECONDS:.0f} seconds: {words} - no; read {log_path(env)}"
                )
            time.sleep(0.5)
        print(f"  {words} - yes", flush=True)
        return True

    def dag_is_there() -> bool:
        dag = find_dag(address, env, DAG_ID)
        if dag and dag["is_paused"]:
            print(f"  {DAG_ID} is paused, as somebody has left it: nothing runs until it is unpaused in the UI")
        return dag is not None

    return (
        wait_for("the API server answers", lambda: get_json(f"{address}/api/v2/version"))
        and wait_for("scheduler and DAG processor are healthy", lambda: is_healthy(address, since=started))
        # With another auth manager there is no password to look with.
        and (not has_simple_login(env) or wait_for(f"the DAG {DAG_ID} is there", dag_is_there))
    )
