"""Airflow for tests: a copy of the project in a folder of its own, with its own metadata and warehouse."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from growth import up
from growth.airflow_api import ensure_passwords, ui_address
from growth.environment import airflow_command, prepare_airflow

ROOT = Path(__file__).parents[1]
DAG_ID = "saas_growth"


class Project:
    """A copy of the project and the environment that its Airflow runs in."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        for folder in ("dags", "include", "plugins"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
        base |= {"SAAS_GROWTH_SCALE": "0.05", "PORT": str(free_port()), **settings}
        self.env = up.ui_environment(root, base)
        self.warehouse = root / "data/saas_funnel.db"

    def edit(self, path: str, old: str, new: str) -> None:
        """Change the copy's text, which must be there."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} does not say {old!r}"
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def prepare(self) -> None:
        prepare_airflow(self.root, self.env)

    def metadata(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What Airflow's own database says. Read directly: asking the API server every moment slows it down."""
        path = Path(self.env["AIRFLOW_HOME"]) / "airflow.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, parameters).fetchall()

    def ask(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the warehouse says."""
        with closing(sqlite3.connect(f"{self.warehouse.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, parameters).fetchall()

    @contextmanager
    def airflow(self) -> Iterator[Airflow]:
        """Everything of Airflow, started as `make up` starts it; nothing of it runs afterwards."""
        with (
            up.only_one(Path(self.env["AIRFLOW_HOME"]) / "up.lock") as lock,
            up.running(self.root, self.env, lock) as keeper,
        ):
            assert up.wait_until_ready(keeper, self.env), up.log_path(self.env).read_text()
            yield Airflow(self, keeper)


class Airflow:
    """A running Airflow, spoken to through its API."""

    def __init__(self, project: Project, keeper: Any) -> None:
        self.project = project
        self.keeper = keeper
        self.address = ui_address(project.env)
        ((user, password),) = ensure_passwords(project.env).items()
        self.token = None
        self.token = self.call("POST", "/auth/token", {"username": user, "password": password})["access_token"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The API's answer; what it refuses is raised with its words."""
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        request.data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def trigger(self, logical_date: str | None, **conf: Any) -> str:
        """Start a run as the UI does; gives its run id."""
        body = {"logical_date": logical_date, "conf": conf}
        return self.call("POST", f"/api/v2/dags/{DAG_ID}/dagRuns", body)["dag_run_id"]

    def backfill(self, first: date, last: date, backwards: bool = False, runs: int = 10) -> None:
        body = {
            "dag_id": DAG_ID,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "run_backwards": backwards,
            "max_active_runs": runs,
        }
        self.call("POST", "/api/v2/backfills", body)

    def clear(self, run_id: str, *tasks: str, downstream: bool = False) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(tasks),
            "include_downstream": downstream,
            "only_failed": False,
        }
        self.call("POST", f"/api/v2/dags/{DAG_ID}/clearTaskInstances", body)

    def state(self, run_id: str) -> str:
        ((state,),) = self.project.metadata("select state from dag_run where run_id = ?", run_id)
        return state

    def tasks(self, run_id: str) -> dict[str, str]:
        """The state of each task of a run."""
        return dict(self.project.metadata("select task_id, state from task_instance where run_id = ?", run_id))

    def ended(self, *runs: str) -> bool:
        return all(self.state(run) in ("success", "failed") for run in runs)


def wait_until(true: Callable[[], Any], seconds: float = 60, words: str = "it") -> Any:
    """Wait until something is so, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited in vain for {words}"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
