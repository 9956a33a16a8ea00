"""Airflow's real app in a process of its own, asked line by line: tests need no port, and import no Airflow.

As a script: reads a JSON object with a request from each line, answers with a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What each user is to Airflow's simple auth manager. A user without a role may do nothing.
ROLES = {"admin": "ADMIN", "editor": "USER", "viewer": "VIEWER", "nobody": None}
MARK = "ANSWER "


@dataclass(frozen=True)
class Answer:
    """What the app said."""

    status: int
    text: str
    headers: dict[str, str]


class Probe:
    """The app of an Airflow whose environment is given."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self._log = (folder / "probe.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def _ask(self, **question: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise AssertionError(Path(self._log.name).read_text()[-5000:])

    def get(self, path: str, user: str | None = "viewer", method: str = "GET", token: str | None = None) -> Answer:
        """The answer to a request below /growth; user None is nobody who is logged in."""
        return Answer(**self._ask(path=path, user=user, method=method, token=token))

    def routes(self) -> list[tuple[str, list[str]]]:
        """Path and methods of everything that the app answers, mounts included."""
        return [(path, methods) for path, methods in self._ask(routes=True)]

    def connect(self, connection: str | None) -> None:
        """Set the connection growth_warehouse, or take it away."""
        self._ask(connection=connection)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()


def main() -> None:
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    app = create_app(apps="core")
    (page,) = (route.app for route in app.routes if getattr(route, "path", None) == "/growth")
    # What is wrong in the page is an answer of 500, as on a server.
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        for line in sys.stdin:
            question = json.loads(line)
            if "routes" in question:
                answer: Any = [
                    [route.path, sorted(getattr(route, "methods", None) or ["MOUNT"])] for route in page.routes
                ]
            elif "connection" in question:
                answer = None
                os.environ.pop("AIRFLOW_CONN_GROWTH_WAREHOUSE", None)
                if question["connection"]:
                    os.environ["AIRFLOW_CONN_GROWTH_WAREHOUSE"] = question["connection"]
            else:
                token = question["token"]
                if user := question["user"]:
                    identity = SimpleAuthManagerUser(username=user, role=ROLES[user])
                    token = get_auth_manager().generate_jwt(identity)
                client.cookies.clear()
                if token:
                    client.cookies.set("_token", token)
                response = client.request(question["method"], f"/growth{question['path']}")
                answer = {"status": response.status_code, "text": response.text, "headers": dict(response.headers)}
            print(MARK + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
