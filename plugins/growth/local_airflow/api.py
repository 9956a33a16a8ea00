"""What a running Airflow says of itself, and how to log in to it.

A machine of one's own needs no user management, so Airflow's simple auth manager is enough, but not its mode
without a password: 127.0.0.1 is open to every other user of the machine and to every web page that the person
has open, and all of them would be administrators.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from growth.errors import UserError
from growth.private_file import write_private

# Calls to this machine go past any proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ui_address(env: Mapping[str, str]) -> str:
    """Where the UI is, seen from this machine."""
    host = env["AIRFLOW__API__HOST"]
    # All addresses, as in a container, are no address to go to.
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{env['AIRFLOW__API__PORT']}"


def get_json(url: str, token: str | None = None, body: Mapping[str, str] | None = None) -> Any:
    """The answer of the API server; None where there is none, or an error. A body makes it a POST."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body else None
    try:
        with _opener.open(urllib.request.Request(url, data, headers), timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def is_healthy(address: str, since: datetime | None = None) -> bool:
    """Whether scheduler and DAG processor have given a sign of life lately, and after since.

    One that was killed counts as healthy for another 30 seconds, hence since.
    """
    health = get_json(f"{address}/api/v2/monitor/health") or {}
    for part in ("scheduler", "dag_processor"):
        state = health.get(part) or {}
        if state.get("status") != "healthy":
            return False
        if since and datetime.fromisoformat(state[f"latest_{part}_heartbeat"]) < since:
            return False
    return True


def find_dag(address: str, env: Mapping[str, str], dag_id: str) -> dict[str, Any] | None:
    """What Airflow has read of a DAG, None as long as it has not; UserError where its file does not import."""
    token = _token(address, env)
    if dag := get_json(f"{address}/api/v2/dags/{dag_id}", token):
        return dag
    for error in (get_json(f"{address}/api/v2/importErrors", token) or {}).get("import_errors", ()):
        if Path(error["filename"]).stem == dag_id:
            reason = error["stack_trace"].strip().splitlines()[-1]
            file = Path(env["AIRFLOW__CORE__DAGS_FOLDER"]) / error["filename"]
            raise UserError(f"{file} does not import: {reason}")
    return None


def has_simple_login(env: Mapping[str, str]) -> bool:
    """Whether it is Airflow's simple auth manager that asks people who they are."""
    return env.get("AIRFLOW__CORE__AUTH_MANAGER", "SimpleAuthManager").endswith("SimpleAuthManager")


def ensure_passwords(env: Mapping[str, str]) -> dict[str, str]:
    """The password of each user of the simple auth manager, made up where there is none yet.

    Airflow would do it, too, but into a file that everybody may read, and into its log.
    """
    all_admins = env.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "").lower() in ("true", "t", "1")
    if all_admins or not has_simple_login(env):
        return {}
    path = Path(
        env.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
        or Path(env["AIRFLOW_HOME"]) / "simple_auth_manager_passwords.json.generated"
    )
    users = env.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin").split(",")
    names = [user.split(":")[0].strip() for user in users]
    known = json.loads(path.read_text() or "{}") if path.exists() else {}
    made_up = {name: secrets.token_urlsafe(12) for name in names if name not in known}
    if made_up:
        write_private(path, json.dumps({**known, **made_up}) + "\n")
    return {name: (known | made_up)[name] for name in names}


def how_to_log_in(env: Mapping[str, str]) -> str:
    """One line for the person at the keyboard."""
    if not has_simple_login(env):
        return f"Log in as {env['AIRFLOW__CORE__AUTH_MANAGER']} asks."
    passwords = ensure_passwords(env)
    if not passwords:
        return "Nobody is asked to log in."
    return "\n".join(f"Log in as {name} with the password {password}" for name, password in passwords.items())


def _token(address: str, env: Mapping[str, str]) -> str | None:
    """Leave to use the API, as the first user there is."""
    first = next(iter(ensure_passwords(env).items()), None)
    body = {"username": first[0], "password": first[1]} if first else None
    return (get_json(f"{address}/auth/token", body=body) or {}).get("access_token")
