"""Airflow for tests: a copy of the project in a folder of its own, with its own metadata and warehouse."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from growth.local_airflow import server
from growth.local_airflow.api import ensure_passwords, ui_address
from growth.local_airflow.environment import airflow_command, prepare_airflow

ROOT = Path(__file__).parents[1]
DAG_ID = "saas_growth"
ENDED = {"success", "failed"}
TRIES = 10
METADATA = ("airflow.db", "airflow.db.version")


class Project:
    """A copy of the project and the environment that its Airflow runs in."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        copy_of_project(root)
        base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
        base |= {"SAAS_GROWTH_SCALE": "0.05", **settings}
        self.env = server.server_environment(root, base, free_port())
        self.warehouse = root / "data/saas_funnel.db"
        home = Path(self.env["AIRFLOW_HOME"])
        with _made_once() as metadata:
            home.mkdir(exist_ok=True)
            for file in metadata.iterdir():
                shutil.copy(file, home)
            prepare_airflow(root, self.env)
            for name in METADATA:
                shutil.copy(home / name, metadata)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text of the copy. Fails where the text is not there."""
        edit(self.root, path, old, new)

    def metadata(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Query Airflow's metadata database. Polling the API server would slow it down."""
        return _read(Path(self.env["AIRFLOW_HOME"]) / "airflow.db", query, parameters)

    def ask(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Query the warehouse."""
        return _read(self.warehouse, query, parameters)

    def tell(self, *statements: str) -> None:
        """Run statements on the warehouse."""
        with closing(sqlite3.connect(self.warehouse, timeout=60)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start an `airflow` command."""
        return subprocess.Popen(
            [airflow_command(), *arguments],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def _made_once() -> Iterator[Path]:
    """The folder of an empty metadata database for all projects of this run: making one takes ten seconds."""
    folder = Path(tempfile.gettempdir()) / "airflow metadata"
    folder.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def copy_of_project(root: Path) -> None:
    """Copy the folders that Airflow reads."""
    for folder in ("dags", "include", "plugins"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))


def edit(root: Path, path: str, old: str, new: str) -> None:
    """Replace a text of a copy. Fails where the text is not there."""
    file = root / path
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{path} does not say {old!r}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def _read(database: Path, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(query, parameters).fetchall()


class Airflow:
    """The Airflow of a project, started as `make up` starts it. Tests use its API."""

    def __init__(self, project: Project, lock: int) -> None:
        self.project = project
        self.lock = lock
        self.token = ""

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start all components of Airflow, and stop them afterwards."""
        env = self.project.env
        with server.running(self.project.root, env, self.lock) as self.keeper:
            assert server.wait_until_ready(self.keeper, env), server.log_path(env).read_text()
            ((user, password),) = ensure_passwords(env).items()
            self.token = self.call("POST", "/auth/token", username=user, password=password)["access_token"]
            yield

    def call(self, method: str, path: str, **body: Any) -> Any:
        """The API's answer. A refusal is raised with its text.

        Two writers may lock SQLite metadata against each other. Airflow then gives up, and a second try succeeds.
        """
        request = urllib.request.Request(ui_address(self.project.env) + path, method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {self.token}")
        if body:
            request.data = json.dumps(body).encode()
        for _ in range(TRIES):
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                refusal = f"{method} {path}: {error.code} {error.read().decode()}"
                if error.code < 500:
                    break
        raise AssertionError(refusal)

    def pause(self, is_paused: bool, dag_id: str = DAG_ID) -> None:
        self.call("PATCH", f"/api/v2/dags/{dag_id}", is_paused=is_paused)

    def trigger(self, logical_date: str | None, **conf: Any) -> str:
        """Trigger a run as the UI does. Returns its run id."""
        return self.call("POST", f"/api/v2/dags/{DAG_ID}/dagRuns", logical_date=logical_date, conf=conf)["dag_run_id"]

    def backfill(self, first: date, last: date, *options: str) -> None:
        """Create a backfill as an operator does. The DAG must be paused.

        Airflow may find its database locked half way, where that is SQLite, and take back what it has created: a
        scheduler that is looking at those runs falls over.
        """
        days = ["--from-date", f"{first}", "--to-date", f"{last}"]
        for _ in range(TRIES):
            process = self.project.command("backfill", "create", "--dag-id", DAG_ID, *days, *options)
            output, _ = process.communicate(timeout=60)
            if "database is locked" not in output.lower():
                break
        assert process.returncode == 0, output

    def forget_backfills(self) -> None:
        """Cancel backfills whose runs have ended: Airflow allows one at a time, and completes it half a minute late."""
        for (number,) in self.project.metadata("select id from backfill where completed_at is null"):
            self.call("PUT", f"/api/v2/backfills/{number}/cancel")

    def clear(self, run_id: str, *tasks: str, downstream: bool = False) -> None:
        """Clear some tasks of a run, or all."""
        some = {"task_ids": list(tasks), "include_downstream": downstream} if tasks else {}
        path = f"/api/v2/dags/{DAG_ID}/clearTaskInstances"
        self.call("POST", path, dag_run_id=run_id, dry_run=False, only_failed=False, **some)

    def fail(self, run_id: str) -> None:
        """Mark a run as failed, so that Airflow ends its tasks."""
        self.call("PATCH", f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}", state="failed")

    def delete(self, run_id: str) -> None:
        self.call("DELETE", f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}")

    def runs(self, kind: str, dag_id: str = DAG_ID) -> dict[str, str]:
        """The state of each run of a type: scheduled, manual, backfill."""
        query = "select run_id, state from dag_run where run_type = ? and dag_id = ?"
        return dict(self.project.metadata(query, kind, dag_id))

    def state(self, run_id: str) -> str:
        query = "select state from dag_run where run_id = ? and dag_id = ?"
        ((state,),) = self.project.metadata(query, run_id, DAG_ID)
        return state

    def tasks(self, run_id: str) -> dict[str, tuple[str, int]]:
        """The state of each task of a run, and how often it was tried."""
        query = "select task_id, state, try_number from task_instance where run_id = ? and dag_id = ?"
        return {task: (state, tries) for task, state, tries in self.project.metadata(query, run_id, DAG_ID)}

    def wait_for(self, *runs: str) -> None:
        wait_until(lambda: all(self.state(run) in ENDED for run in runs), 1200, f"the end of {runs}")

    def log(self, run_id: str, task: str) -> str:
        """The log of all tries of a task."""
        folder = Path(self.project.env["AIRFLOW_HOME"]) / f"logs/dag_id={DAG_ID}/run_id={run_id}/task_id={task}"
        return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.log")))


def wait_until(true: Callable[[], Any], seconds: float = 600, words: str = "it") -> Any:
    """Wait until a condition holds. Returns its value.

    Patience is for machines that do much else: whoever waits for the right thing waits no longer than it takes.
    """
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited in vain for {words}"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
