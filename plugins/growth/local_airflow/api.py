"""What a running Airflow says of itself, and how to log in to it.

A single machine needs no user management, so Airflow's simple auth manager is enough. Its mode without a password is
not: every other user of the machine, and every web page open in a browser there, could act as an administrator.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from growth.errors import UserError
from growth.private_file import write_private

COMPONENTS = ("scheduler", "dag_processor")


class NotReady(Exception):
    """Why Airflow is not ready or does not answer, as a clause. It may be true for a moment only."""


def ui_address(env: Mapping[str, str]) -> str:
    """Where the UI is, seen from this machine."""
    host = env["AIRFLOW__API__HOST"]
    # "All addresses", as in a container, is no address to connect to.
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{env['AIRFLOW__API__PORT']}"


def get_json(url: str, token: str | None = None, body: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The object that the API server answers with; a body makes the request a POST. Raises NotReady."""
    try:
        answer = httpx.request(
            "POST" if body else "GET",
            url,
            json=body,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=10,
            trust_env=False,  # requests to this machine bypass any proxy
        )
    except httpx.HTTPError as error:
        raise NotReady(f"{url} does not answer ({error or type(error).__name__})") from None
    if answer.is_error:
        raise NotReady(f"{url} answers {answer.status_code} {answer.reason_phrase}")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotReady(f"{url} answers with something other than an object of JSON")
    return found


def require_heartbeats(address: str, since: datetime | None = None) -> None:
    """Raise NotReady unless scheduler and DAG processor have sent a heartbeat lately, and after since.

    A killed one counts as healthy for another 30 seconds, hence since.
    """
    health = get_json(f"{address}/api/v2/monitor/health")
    for component in COMPONENTS:
        state = health.get(component) or {}
        name = component.replace("_", " ")
        if state.get("status") != "healthy":
            raise NotReady(f"the {name} is {state.get('status') or 'not known to the API server'}")
        if since and datetime.fromisoformat(state[f"latest_{component}_heartbeat"]) < since:
            raise NotReady(f"the {name} has sent no heartbeat since the start")


def health_problem(address: str, *, with_components: bool = True) -> str | None:
    """For health checks, as the argument of SystemExit: None where Airflow is well, else why it is not."""
    try:
        if with_components:
            require_heartbeats(address)
        else:
            get_json(f"{address}/api/v2/monitor/health")
    except NotReady as problem:
        return str(problem)
    return None


def find_dag(address: str, env: Mapping[str, str], dag_id: str, since: datetime) -> dict[str, Any]:
    """What Airflow knows of a DAG. Raises NotReady while it has not read it.

    Raises UserError where the DAG's file, read after since, does not import: the metadata also keep the import errors
    of files that have been corrected and not been read again.
    """
    token = _token(address, env)
    try:
        return get_json(f"{address}/api/v2/dags/{dag_id}", token)
    except NotReady as problem:
        not_found = problem
    for error in get_json(f"{address}/api/v2/importErrors", token)["import_errors"]:
        if Path(error["filename"]).stem == dag_id and datetime.fromisoformat(error["timestamp"]) >= since:
            reason = error["stack_trace"].strip().splitlines()[-1]
            file = Path(env["AIRFLOW__CORE__DAGS_FOLDER"]) / error["filename"]
            raise UserError(f"{file} does not import: {reason}")
    raise not_found


def has_simple_login(env: Mapping[str, str]) -> bool:
    """Whether people log in through Airflow's simple auth manager."""
    return env.get("AIRFLOW__CORE__AUTH_MANAGER", "SimpleAuthManager").endswith("SimpleAuthManager")


def ensure_passwords(env: Mapping[str, str]) -> dict[str, str]:
    """The password of each user of the simple auth manager; one that is missing is made up.

    Airflow would make it up as well, but in a file that every user of the machine may read, and in its log.
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
    """What a person needs to log in, a line for each user."""
    if not has_simple_login(env):
        return f"Log in as {env['AIRFLOW__CORE__AUTH_MANAGER']} asks."
    passwords = ensure_passwords(env)
    if not passwords:
        return "No login is needed."
    return "\n".join(f"Log in as {name} with the password {password}" for name, password in passwords.items())


def _token(address: str, env: Mapping[str, str]) -> str:
    """A token for the API, of the first user. Raises NotReady."""
    first = next(iter(ensure_passwords(env).items()), None)
    body = {"username": first[0], "password": first[1]} if first else None
    return get_json(f"{address}/auth/token", body=body)["access_token"]
