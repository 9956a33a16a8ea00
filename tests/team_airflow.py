"""A team's Airflow for tests: the commands of docker-compose.yaml as processes of this machine.

Each component has a working folder of its own, with its own copy of the project and its own Airflow home, as it would
have in its container; what the services share there is shared here: databases, the queue, the volumes of logs and
of passwords. Instead of names of services it is ports of this machine that they find one another by.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
from airflow_home import DAG_ID, Airflow, copy_of_project, edit, free_port, wait_until
from compose_file import environment, services

from growth.commands.team import made_up_secrets
from growth.local_airflow.api import NotReady, ensure_passwords, find_dag, health_problem
from growth.local_airflow.keeper import kill_session

BIN = Path(sys.executable).parent
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_SECONDS = 180
STOP_SECONDS = 20

# Airflow's pace, for tests: how soon it looks again, and how soon it notices that a worker is gone.
PACE = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    # Tasks that a killed worker had taken and not begun stay queued, and the queue gives them back after a day.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # On one machine all containers have the same name; here each has the one that it is given.
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "own_hostname.own_hostname",
}
OWN_HOSTNAME = 'import os\n\n\ndef own_hostname():\n    return os.environ["HOSTNAME"]\n'


class Member:
    """One component: its folder, its environment and, once started, its process."""

    def __init__(
        self, folder: Path, name: str, service: str, secrets: Mapping[str, str], shared: Mapping[str, str]
    ) -> None:
        self.name, self.service, self.folder = name, service, folder
        self.root = folder / "project"
        copy_of_project(self.root)
        (self.root / "own_hostname.py").write_text(OWN_HOSTNAME, encoding="utf-8")
        (self.root / "data").mkdir()
        home = folder / "home"
        home.mkdir()
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
        self.env = {
            **inherited,
            **environment(service, **secrets),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{self.root / 'plugins'}{os.pathsep}{self.root}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.root / "plugins"),
            "HOSTNAME": name,
            **shared,
        }
        self.env.pop("PYTHONPYCACHEPREFIX", None)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        self.process = self._run(services()[self.service]["command"], *options)

    def _run(self, command: list[str], *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output.log").open("ab") as output:
            return subprocess.Popen(
                [*command, *options],
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_healthy(self) -> bool:
        """By its health check in docker-compose.yaml."""
        kind, *test = services()[self.service]["healthcheck"]["test"]
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        for here, there in (
            ("8080", self.env["AIRFLOW__API__PORT"]),
            ("8974", self.env["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"]),
        ):
            command = [part.replace(f"127.0.0.1:{here}", f"127.0.0.1:{there}") for part in command]
        return not subprocess.run(command, cwd=self.root, env=self.env, check=False, capture_output=True).returncode

    def processes(self) -> list[psutil.Process]:
        """All that this component has started, and itself."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def kill(self) -> None:
        """As when its machine loses its power: all at once, and nobody can say goodbye."""
        found = self.processes()
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        kill_session(self.process.pid)

    def output(self) -> str:
        return (self.folder / "output.log").read_text(encoding="utf-8", errors="replace")


class TeamProject:
    """What a `Project` is to an Airflow on one machine: its environment, its metadata, its commands."""

    def __init__(self, team: Team) -> None:
        self._team = team

    @property
    def env(self) -> dict[str, str]:
        return self._team.members["api-server"].env

    def metadata(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._team.metadata_url) as connection:
            return connection.execute(query.replace("?", "%s"), parameters).fetchall()

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """An `airflow` command, started where the scheduler runs."""
        member = self._team.members["scheduler"]
        return subprocess.Popen(
            ["airflow", *arguments],
            cwd=member.root,
            env=member.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


class Team(Airflow):
    """All services of the profile team but those that are servers here already."""

    def __init__(
        self, folder: Path, metadata_url: str, redis_url: str, warehouse: str, workers: int = 2, **settings: str
    ) -> None:
        self.metadata_url = metadata_url
        metadata = metadata_url.replace("postgresql://", "postgresql+psycopg://", 1)
        port = str(free_port())
        for volume in ("logs", "login"):
            (folder / volume).mkdir()
        shared = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
            "AIRFLOW__CELERY__BROKER_URL": redis_url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{metadata}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "login/passwords.json"),
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
            "AIRFLOW_CONN_GROWTH_WAREHOUSE": warehouse,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **PACE,
            **settings,
        }
        named = {"init": "init", **{name: name for name in COMPONENTS}}
        named |= {f"worker-{n + 1}": "worker" for n in range(workers)}
        secrets = made_up_secrets()
        self.members = {name: Member(folder / name, name, service, secrets, shared) for name, service in named.items()}
        super().__init__(TeamProject(self), lock=-1)

    @property
    def workers(self) -> list[Member]:
        return [member for member in self.members.values() if member.service == "worker"]

    @contextmanager
    def started(self) -> Iterator[None]:
        """All of it, once it is well; nothing of it runs afterwards."""
        try:
            init = self.members["init"]
            init.start()
            assert init.process.wait(START_SECONDS) == 0, init.output()
            for name in COMPONENTS:
                self.members[name].start()
            for worker in self.workers:
                self.start_worker(worker)
            self._wait_until_well()
            ((user, password),) = ensure_passwords(self.project.env).items()
            self.token = self.call("POST", "/auth/token", username=user, password=password)["access_token"]
            yield
        finally:
            self._stop()

    def start_worker(self, worker: Member) -> None:
        # A container's name is its own; of workers on one machine it has to be said.
        worker.start("--celery-hostname", worker.name)

    def _wait_until_well(self) -> None:
        address = f"http://127.0.0.1:{self.project.env['AIRFLOW__API__PORT']}"

        def parts_are_well() -> bool:
            for member in self.members.values():
                assert member.service == "init" or member.is_running(), f"{member.name}: {member.output()}"
            return health_problem(address) is None

        started = datetime.now(UTC)

        def dag_is_there() -> bool:
            with suppress(NotReady):
                return bool(find_dag(address, self.project.env, DAG_ID, since=started))
            return False

        wait_until(parts_are_well, START_SECONDS, "scheduler and DAG processor")
        wait_until(dag_is_there, START_SECONDS, "the DAG")
        for worker in self.workers:
            wait_until(lambda worker=worker: " ready." in worker.output(), START_SECONDS, worker.name)

    def _stop(self) -> None:
        started = [member for member in self.members.values() if member.process]
        for member in started:
            with suppress(ProcessLookupError):
                member.process.terminate()
        for member in started:
            with suppress(subprocess.TimeoutExpired):
                member.process.wait(STOP_SECONDS)
            member.kill()

    def ran_on(self, run_id: str) -> dict[str, str]:
        """The name of the worker that each task of a run was at work on, the last time."""
        query = "select task_id, hostname from task_instance where run_id = ? and dag_id = ?"
        return dict(self.project.metadata(query, run_id, DAG_ID))

    def worker_of(self, pid: int) -> Member:
        """The worker that a task's process belongs to."""
        (worker,) = (w for w in self.workers if pid in {process.pid for process in w.processes()})
        return worker

    def log(self, run_id: str, task: str, attempt: int = 1) -> str:
        """What a task said in one of its tries, as the API server gives it."""
        path = f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task}/logs/{attempt}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.project.env['AIRFLOW__API__PORT']}{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/x-ndjson")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.read().decode()


def edited(members: Mapping[str, Member], path: str, old: str, new: str) -> None:
    """Change the text in every copy."""
    for member in members.values():
        edit(member.root, path, old, new)
