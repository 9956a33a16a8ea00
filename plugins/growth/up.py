"""Starts Airflow with its UI for this project and runs until Ctrl-C."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from growth.environment import airflow_environment, prepare_airflow, write_private
from growth.errors import UserError
from growth.keeper import kill_session

DAG_ID = "saas_growth"
START_SECONDS = 180.0
STOP_SECONDS = 30.0

# Calls to this machine go past any proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def up(root: Path) -> int:
    """Run Airflow until Ctrl-C or SIGTERM (0) or until a component stops by itself (1). Raises UserError."""
    env = ui_environment(root, os.environ)
    refuse_taken_port(env["AIRFLOW__API__HOST"], int(env["AIRFLOW__API__PORT"]))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        prepare_airflow(root, env)
        with only_one(Path(env["AIRFLOW_HOME"]) / "up.lock") as lock, running(root, env, lock) as keeper:
            if not wait_until_ready(keeper, env):
                return 1
            print(f"\nAirflow is up: {ui_address(env)}\n{how_to_log_in(env)}\nCtrl-C stops it.", flush=True)
            return 1 if keeper.wait() else 0
    except KeyboardInterrupt:
        return 0


def ui_environment(root: Path, base: Mapping[str, str]) -> dict[str, str]:
    """Airflow's environment with the port of the UI: PORT, or 8080."""
    env = airflow_environment(root, base)
    port = env.get("PORT") or env.get("AIRFLOW__API__PORT") or "8080"
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(f"PORT={port} is not a port; it is a number from 1 to 65535, for example: make up PORT=8081.")
    env["AIRFLOW__API__PORT"] = port
    # Tasks report to the API server; left to itself Airflow sends them to port 8080 whatever the port is.
    env.setdefault("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{ui_address(env)}/execution/")
    return env


def ui_address(env: Mapping[str, str]) -> str:
    """Where the UI is, seen from this machine."""
    host = env.get("AIRFLOW__API__HOST", "127.0.0.1")
    # All addresses, as in a container, are no address to go to.
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{env.get('AIRFLOW__API__PORT', '8080')}"


def refuse_taken_port(host: str, port: int) -> None:
    """Raise UserError where something listens already: Airflow would say so only in its log."""
    taken = False
    with socket.socket() as probe:
        probe.settimeout(1)
        # Binding is not enough: macOS lets 127.0.0.1 be bound beside a listener on all addresses.
        taken = probe.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0
    with socket.socket() as probe:
        # As the API server does it, so that the connections of one just stopped are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            taken = True
    if taken:
        raise UserError(
            f"Port {port} on {host} is taken; stop what uses it or choose another: make up PORT={port + 1}."
        )


@contextmanager
def only_one(path: Path) -> Iterator[int]:
    """Hold the lock that says whether Airflow runs in this project; two would share one metadata database.

    Every process of Airflow inherits it. Where it is held though the keeper, whose number is in the file, is
    gone, the rest of a killed Airflow is still running, and is stopped.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        if not _lock(file.fileno()):
            number = int(file.read().strip() or 0)
            with suppress(ProcessLookupError):
                os.kill(number, 0)
                raise UserError(
                    f"Airflow runs already in this project; stop it with Ctrl-C where it was started, or: kill {number}"
                )
            kill_session(number)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        yield file.fileno()


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def running(root: Path, env: Mapping[str, str], lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """Airflow's keeper, started; whatever happens inside, nothing of Airflow runs afterwards."""
    ensure_passwords(env)
    log = log_path(env)
    print(f"Starting Airflow; its components write to {log}", flush=True)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "growth.keeper", str(log), str(lock)],
        cwd=root,
        env=env,
        stdin=subprocess.PIPE,
        pass_fds=[lock],
        start_new_session=True,
    )
    try:
        os.pwrite(lock, b"%d\n" % keeper.pid, 0)
        yield keeper
    finally:
        if keeper.poll() is None:
            print("\nStopping Airflow ...", flush=True)
            # The end of its input tells the keeper to stop. A second Ctrl-C is for those who will not wait.
            keeper.stdin.close()
            with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
                keeper.wait(STOP_SECONDS)
        keeper.kill()
        keeper.wait()
        kill_session(keeper.pid)


def log_path(env: Mapping[str, str]) -> Path:
    """The file that holds what the components say."""
    return Path(env["AIRFLOW_HOME"]) / "logs" / "up.log"


def wait_until_ready(keeper: subprocess.Popen[bytes], env: Mapping[str, str]) -> bool:
    """Wait for the parts of Airflow, in words; False when one of them has stopped. Raises UserError."""
    address, started = ui_address(env), datetime.now(timezone.utc)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("the API server answers", lambda: get_json(f"{address}/api/v2/version")),
        ("scheduler and DAG processor are healthy", lambda: is_healthy(address, since=started)),
    ]
    if _has_own_login(env):
        steps.append((f"the DAG {DAG_ID} is there", lambda: dag_is_there(address, env)))
    deadline = time.monotonic() + START_SECONDS
    for words, check in steps:
        while not check():
            if keeper.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise UserError(
                    f"Airflow did not start within {START_SECONDS:.0f} seconds: not yet true that {words}; "
                    f"read {log_path(env)}"
                )
            time.sleep(0.5)
        print(f"  {words}", flush=True)
    return True


def is_healthy(address: str | None = None, since: datetime | None = None) -> bool:
    """Whether scheduler and DAG processor have given a sign of life lately, and after since.

    A component that was killed counts as healthy for another 30 seconds, hence since.
    """
    health = get_json(f"{address or ui_address({**os.environ, **_port_of(os.environ)})}/api/v2/monitor/health")
    for part in ("scheduler", "dag_processor"):
        state = (health or {}).get(part) or {}
        if state.get("status") != "healthy":
            return False
        if since and datetime.fromisoformat(state[f"latest_{part}_heartbeat"]) < since:
            return False
    return True


def dag_is_there(address: str, env: Mapping[str, str]) -> bool:
    """Whether Airflow has read the DAG; UserError where its file does not import."""
    token = sign_in(address, env)
    dag = get_json(f"{address}/api/v2/dags/{DAG_ID}", token)
    if dag and dag["is_paused"]:
        print(f"  {DAG_ID} is paused, as somebody has left it: nothing runs before it is unpaused in the UI")
    if dag:
        return True
    for error in (get_json(f"{address}/api/v2/importErrors", token) or {}).get("import_errors", ()):
        if Path(error["filename"]).stem == DAG_ID:
            raise UserError(f"{error['filename']} does not import: {error['stack_trace'].strip().splitlines()[-1]}")
    return False


def get_json(url: str, token: str | None = None, body: Mapping[str, str] | None = None) -> Any:
    """The answer of the API server; None where there is none, or an error."""
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if body:
        request.data = json.dumps(body).encode()
    try:
        with _opener.open(request, timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


# Logging in. A machine of one's own needs no user management, so Airflow's simple auth manager is enough, but
# not its mode without a password: 127.0.0.1 is open to every other user of the machine, and to every web page
# that the person has open, whose requests would be an administrator's.


def ensure_passwords(env: Mapping[str, str]) -> dict[str, str]:
    """The password of each user of the simple auth manager, made up where there is none yet.

    Airflow would do it, too, but into a file that everybody may read, and into its log.
    """
    if not _has_own_login(env) or _asks_no_password(env):
        return {}
    home = Path(env["AIRFLOW_HOME"])
    path = Path(
        env.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
        or home / "simple_auth_manager_passwords.json.generated"
    )
    known = json.loads(path.read_text() or "{}") if path.exists() else {}
    users = [user.split(":")[0].strip() for user in env.get(_USERS, "admin:admin").split(",")]
    passwords = {user: known.get(user) or secrets.token_urlsafe(12) for user in users}
    if passwords.items() - known.items():
        write_private(path, json.dumps({**known, **passwords}) + "\n")
    return passwords


def how_to_log_in(env: Mapping[str, str]) -> str:
    """One line for the person at the keyboard."""
    if not _has_own_login(env):
        return f"Log in as {env['AIRFLOW__CORE__AUTH_MANAGER']} asks."
    if _asks_no_password(env):
        return "Nobody is asked to log in."
    return "Log in as " + ", or ".join(
        f"{user} with the password {password}" for user, password in ensure_passwords(env).items()
    )


def sign_in(address: str, env: Mapping[str, str]) -> str | None:
    """A token for the API."""
    body = None
    for user, password in list(ensure_passwords(env).items())[:1]:
        body = {"username": user, "password": password}
    return (get_json(f"{address}/auth/token", body=body) or {}).get("access_token")


_USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"


def _has_own_login(env: Mapping[str, str]) -> bool:
    return env.get("AIRFLOW__CORE__AUTH_MANAGER", "SimpleAuthManager").endswith("SimpleAuthManager")


def _asks_no_password(env: Mapping[str, str]) -> bool:
    return env.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "").lower() in ("true", "t", "1")
