"""`make up`: the environment it gives Airflow, its preparation, and the start and end of everything."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from airflow_home import free_port, wait_until

from growth.errors import UserError
from growth.local_airflow import environment, server
from growth.local_airflow.api import health_problem
from growth.local_airflow.environment import airflow_environment, prepare_airflow
from growth.local_airflow.keeper import kill_session, session_members
from growth.local_airflow.server import only_one, refuse_taken_port, server_environment, wait_until_ready

PLUGINS = Path(__file__).parents[1] / "plugins"

# `python -m growth up` in another project than this one.
UP = """
import sys
from pathlib import Path
from growth import __main__ as command_line
command_line.ROOT = Path(sys.argv[1])
sys.exit(command_line.main(["up"]))
"""

# Reports through the warehouse's connection that it ran. It has retries, as the project's DAG has: on a busy machine
# the scheduler may start a task before the API server, to which the task reports, listens.
DAG = """
from datetime import timedelta

from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.sdk import dag, task


@dag(schedule="@once", catchup=False, default_args={"retries": 5, "retry_delay": timedelta(seconds=1)})
def saas_growth():
    @task
    def work():
        SqliteHook("growth_warehouse").run("create table ran (at_all)")

    work()


saas_growth()
"""


# --- The environment


def test_every_path_is_the_projects_own(tmp_path):
    root = tmp_path / "my project"
    env = airflow_environment(root, {})
    assert env["AIRFLOW_HOME"] == f"{root}/.airflow"
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == f"{root}/dags"
    assert env["AIRFLOW__CORE__PLUGINS_FOLDER"] == env["PYTHONPATH"] == f"{root}/plugins"
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{root}/.airflow/airflow.db"
    assert json.loads(env["AIRFLOW_CONN_GROWTH_WAREHOUSE"]) == {
        "conn_type": "sqlite",
        "host": f"{root}/data/saas_funnel.db",
    }


def test_two_clones_share_nothing(tmp_path):
    one, other = (airflow_environment(tmp_path / name, {}) for name in ("one", "other"))
    own_values = {name for name in one if str(tmp_path) in one[name]}
    assert own_values == {name for name in other if one[name] != other[name]}
    assert not any(str(tmp_path / "one") in value for value in other.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIRFLOW_CONN_GROWTH_WAREHOUSE", "postgres://growth@db/growth"),
        ("AIRFLOW__CORE__PARALLELISM", "16"),
        ("AIRFLOW__CORE__LOAD_EXAMPLES", "True"),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow@db/airflow"),
        ("AIRFLOW_HOME", "/srv/airflow"),
        ("SAAS_GROWTH_SOURCE", "files"),
        ("SAAS_GROWTH_SEED", "7"),
    ],
)
def test_what_the_operator_has_set_wins(tmp_path, name, value):
    assert airflow_environment(tmp_path, {name: value})[name] == value


def test_a_secret_that_the_operator_keeps_elsewhere_is_not_overruled(tmp_path):
    env = airflow_environment(tmp_path, {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "cat /run/secrets/metadata"})
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in env


def test_an_empty_value_is_no_value(tmp_path):
    env = airflow_environment(tmp_path, {"AIRFLOW_CONN_GROWTH_WAREHOUSE": "", "SAAS_GROWTH_SOURCE": ""})
    assert "saas_funnel.db" in env["AIRFLOW_CONN_GROWTH_WAREHOUSE"]
    assert env["SAAS_GROWTH_SOURCE"] == "synthetic"


def test_airflows_home_is_absolute_wherever_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = airflow_environment(Path("clone"), {"AIRFLOW_HOME": "elsewhere"})
    assert env["AIRFLOW_HOME"] == f"{tmp_path}/elsewhere"
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/elsewhere/airflow.db"
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == f"{tmp_path}/clone/dags"


def test_lists_are_added_to_and_bytecode_is_written(tmp_path):
    env = airflow_environment(
        tmp_path,
        {"PYTHONPATH": f"/lib/x:{tmp_path}/plugins", "no_proxy": "db", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/h"},
    )
    assert env["PYTHONPATH"] == f"{tmp_path}/plugins:/lib/x"
    assert env["no_proxy"] == env["NO_PROXY"] == "db,127.0.0.1,localhost"
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["HOME"] == "/h"


@pytest.mark.parametrize("character", "?#%$:")
def test_a_folder_that_airflow_would_misread_is_refused(character):
    with pytest.raises(UserError) as refusal:
        airflow_environment(Path(f"/home/me/a{character}b"), {})
    assert f"The folder /home/me/a{character}b has {character} in its name" in one_sentence(refusal)


# --- The preparation


@pytest.fixture
def migrations(monkeypatch) -> list[Path]:
    """Stands in for `airflow db migrate`: adds a row to the database it is given, which is noted here."""
    noted = []

    def migrate(home, env, lock):
        database = Path(env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///"))
        noted.append(database)
        with sqlite3.connect(database) as connection:
            connection.execute("create table if not exists migrations (number)")
            connection.execute("insert into migrations values (1)")

    monkeypatch.setattr(environment, "_run_migration", migrate)
    return noted


def rows(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        return connection.execute("select count(*) from migrations").fetchone()[0]


def test_it_migrates_once_for_each_version_of_airflow_and_keeps_what_is_there(tmp_path, migrations, monkeypatch):
    env = airflow_environment(tmp_path, {})
    prepare_airflow(tmp_path, env)
    prepare_airflow(tmp_path, env)
    assert rows(tmp_path / ".airflow/airflow.db") == 1

    monkeypatch.setattr(environment, "version", lambda _: "99.0")
    prepare_airflow(tmp_path, env)
    prepare_airflow(tmp_path, env)
    assert rows(tmp_path / ".airflow/airflow.db") == 2


@pytest.mark.parametrize("killed", [KeyboardInterrupt, UserError])
def test_a_migration_that_is_cut_short_is_begun_again(tmp_path, migrations, monkeypatch, killed):
    env = airflow_environment(tmp_path, {})

    def half_a_migration(home, env, lock):
        Path(env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///")).write_text("half a database")
        raise killed

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_run_migration", half_a_migration)
        with pytest.raises(killed):
            prepare_airflow(tmp_path, env)
    assert not (tmp_path / ".airflow/airflow.db").exists()
    prepare_airflow(tmp_path, env)
    assert rows(tmp_path / ".airflow/airflow.db") == 1


def test_a_database_of_the_operators_is_migrated_where_it_is(tmp_path, migrations):
    theirs = tmp_path / "theirs.db"
    env = airflow_environment(tmp_path, {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{theirs}"})
    prepare_airflow(tmp_path, env)
    assert migrations == [theirs]
    assert not (tmp_path / ".airflow/airflow.db").exists()


def test_nobody_else_can_read_the_keys_and_they_stay_the_same(tmp_path, migrations):
    env = airflow_environment(tmp_path, {})
    prepare_airflow(tmp_path, env)
    config = tmp_path / ".airflow/airflow.cfg"
    keys = config.read_text()
    prepare_airflow(tmp_path, env)
    assert config.read_text() == keys
    assert config.stat().st_mode & 0o077 == (tmp_path / ".airflow").stat().st_mode & 0o077 == 0
    assert str(tmp_path) not in keys


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError) as refusal:
        prepare_airflow(tmp_path, airflow_environment(tmp_path, {}))
    assert f"The folder {tmp_path}/data cannot be made" in one_sentence(refusal)


# --- The port


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken_is_refused_in_one_sentence(listening_on):
    with socket.create_server((listening_on, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError) as refusal:
            refuse_taken_port("127.0.0.1", port)
    assert one_sentence(refusal) == (
        f"Port {port} on 127.0.0.1 is taken; stop what uses it or choose another: make up PORT={port + 1}."
    )
    refuse_taken_port("127.0.0.1", port)


def test_a_taken_port_is_noticed_before_anything_is_prepared(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener, start_up(tmp_path, listener.getsockname()[1]) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(r"Port \d+ on 127\.0\.0\.1 is taken; .*\n", output)
    assert not (tmp_path / ".airflow/airflow.db").exists()


def test_tasks_report_to_the_port_that_was_chosen(tmp_path):
    for env in (
        server_environment(tmp_path, {"AIRFLOW__API__PORT": "8084"}, 8085),
        server_environment(tmp_path, {"AIRFLOW__API__PORT": "8085"}),
    ):
        assert env["AIRFLOW__API__PORT"] == "8085"
        assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8085/execution/"


# --- Waiting until it is up, with a stand-in for the API server

NOW = datetime.now(UTC)
HEALTHY = {
    part: {"status": "healthy", f"latest_{part}_heartbeat": (NOW + timedelta(hours=1)).isoformat()}
    for part in ("scheduler", "dag_processor")
}
WELL = {
    "/api/v2/version": (200, {"version": "3.3.2"}),
    "/api/v2/monitor/health": (200, HEALTHY),
    "/auth/token": (201, {"access_token": "a token"}),
    "/api/v2/dags/saas_growth": (200, {"is_paused": False}),
    "/api/v2/importErrors": (200, {"import_errors": []}),
}


class Alive:
    """A keeper that runs."""

    def poll(self) -> None:
        return None


@pytest.fixture
def wait_for_server(tmp_path, monkeypatch) -> Iterator[Callable[..., bool]]:
    """Waits, but not for long, for an API server with these answers by path: a status, and an object or a text."""
    monkeypatch.setattr(server, "START_SECONDS", 0.0)
    answers: dict[str, tuple[int, object]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = answers[self.path]
            body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    def wait(**changed: tuple[int, object]) -> bool:
        answers.update(WELL | changed)
        env = server_environment(tmp_path, {"AIRFLOW_HOME": str(tmp_path)}, stand_in.server_address[1])
        return wait_until_ready(Alive(), env)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as stand_in:
        threading.Thread(target=stand_in.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield wait
        stand_in.shutdown()


def test_it_is_up_when_all_parts_are(wait_for_server):
    assert wait_for_server()


@pytest.mark.parametrize(
    ("path", "answer", "cause"),
    [
        ("/api/v2/version", (500, "oh no"), "/api/v2/version answers 500 Internal Server Error"),
        ("/api/v2/version", (200, "<html>"), "/api/v2/version answers with something other than an object of JSON"),
        ("/api/v2/version", (200, "[]"), "/api/v2/version answers with something other than an object of JSON"),
        (
            "/api/v2/monitor/health",
            (200, HEALTHY | {"scheduler": {"status": "unhealthy"}}),
            "the scheduler is unhealthy",
        ),
        ("/api/v2/monitor/health", (200, {}), "the scheduler is not known to the API server"),
        (
            "/api/v2/monitor/health",
            (
                200,
                HEALTHY | {"dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": NOW.isoformat()}},
            ),
            "the dag processor has sent no heartbeat since the start",
        ),
        ("/auth/token", (401, {"detail": "Invalid credentials"}), "/auth/token answers 401 Unauthorized"),
        ("/api/v2/dags/saas_growth", (404, {}), "/api/v2/dags/saas_growth answers 404 Not Found"),
    ],
)
def test_what_is_not_up_in_time_is_told_with_the_cause(wait_for_server, tmp_path, path, answer, cause):
    with pytest.raises(UserError) as refusal:
        wait_for_server(**{path: answer})
    sentence = one_sentence(refusal)
    assert sentence.startswith("Airflow is not up after 0 seconds, because ")
    assert sentence.endswith(f"{cause}: read {tmp_path}/logs/up.log.")


def test_a_server_that_does_not_listen_is_told_with_the_cause(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "START_SECONDS", 0.0)
    env = server_environment(tmp_path, {"AIRFLOW_HOME": str(tmp_path)}, free_port())
    with pytest.raises(UserError) as refusal:
        wait_until_ready(Alive(), env)
    assert "/api/v2/version does not answer ([Errno" in one_sentence(refusal)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (timedelta(hours=1), "/dags/saas_growth.py does not import: NameError: oops"),
        # The error of an earlier start; the file has not been read since.
        (timedelta(hours=-1), "/api/v2/dags/saas_growth answers 404 Not Found"),
    ],
)
def test_a_dag_that_does_not_import_is_told_once_it_has_been_read(wait_for_server, read, said):
    error = {
        "filename": "saas_growth.py",
        "timestamp": (NOW + read).isoformat(),
        "stack_trace": "Trace\nNameError: oops",
    }
    with pytest.raises(UserError) as refusal:
        wait_for_server(
            **{"/api/v2/dags/saas_growth": (404, {}), "/api/v2/importErrors": (200, {"import_errors": [error]})}
        )
    assert said in one_sentence(refusal)


# --- The processes, with a stand-in for Airflow that leaves a stubborn child in a process group of its own

STUBBORN = "trap '' TERM; (trap '' TERM; set -m; sleep 300 & sleep 300)"

KEEPER = """
import sys
from growth.local_airflow import keeper
keeper.COMPONENTS = {"api-server": (), "scheduler": ()}
keeper.TASKS_GRACE_SECONDS = keeper.SERVER_GRACE_SECONDS = 0.5
keeper.airflow_command = lambda: sys.argv[1]
sys.exit(keeper.keep(sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
def start_keeper(tmp_path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a keeper whose components run this shell command, with their name as $1."""
    started = []

    def start(command: str) -> subprocess.Popen[str]:
        program = tmp_path / "airflow"
        program.write_text(f"#!/bin/bash\n{command}\n")
        program.chmod(0o700)
        with open(tmp_path / "up.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", KEEPER, program, tmp_path / "up.log", str(lock.fileno())],
                    env={**os.environ, "PYTHONPATH": str(PLUGINS)},
                    stdin=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    pass_fds=[lock.fileno()],
                    start_new_session=True,
                )
            )
        (tmp_path / "up.lock").write_text(str(started[-1].pid))
        return started[-1]

    yield start
    for keeper in started:
        keeper.kill()
        kill_session(keeper.pid)
        with keeper:
            pass


def test_the_end_of_whoever_started_it_ends_everything(start_keeper):
    keeper = start_keeper(STUBBORN)
    wait_until(lambda: len(session_members(keeper.pid)) >= 6)
    groups = {os.getpgid(pid) for pid in session_members(keeper.pid)}
    assert len(groups) > 1, "the stand-in has no process group of its own"
    keeper.stdin.close()
    assert keeper.wait(120) == 0
    assert session_members(keeper.pid) == []


def test_a_component_that_stops_by_itself_takes_the_others_with_it(start_keeper, tmp_path):
    keeper = start_keeper(f'if [ "$1" = scheduler ]; then echo oh no; sleep 1; exit 3; fi; {STUBBORN}')
    assert keeper.wait(120) == 1
    assert session_members(keeper.pid) == []
    assert keeper.stderr.read() == f"Airflow's scheduler stopped by itself (exit status 3); read {tmp_path}/up.log\n"
    assert "scheduler     | oh no" in (tmp_path / "up.log").read_text()


def test_two_airflows_in_one_project_are_refused(start_keeper, tmp_path):
    keeper = start_keeper("sleep 300")
    with pytest.raises(UserError) as refusal, only_one(tmp_path / "up.lock"):
        pass
    assert f"Airflow runs already in this project; stop it there with Ctrl-C, or: kill {keeper.pid}" == one_sentence(
        refusal
    )


def test_a_start_that_is_still_preparing_is_not_waited_for(tmp_path):
    with only_one(tmp_path / "up.lock"), pytest.raises(UserError) as refusal, only_one(tmp_path / "up.lock"):
        pass
    assert f"or: kill {os.getpid()}" in one_sentence(refusal)


def test_what_a_killed_keeper_has_left_is_stopped_by_the_next_start(start_keeper, tmp_path):
    keeper = start_keeper(STUBBORN)
    wait_until(lambda: len(session_members(keeper.pid)) >= 6)
    keeper.kill()
    keeper.wait()
    assert session_members(keeper.pid)
    with only_one(tmp_path / "up.lock"):
        assert session_members(keeper.pid) == []


# --- All of it


@pytest.mark.slow
def test_airflow_starts_works_and_leaves_nothing_behind(tmp_path):
    root = tmp_path / "my project"
    (root / "dags").mkdir(parents=True)
    (root / "dags/saas_growth.py").write_text(DAG)
    (root / ".airflow").mkdir()
    (root / ".airflow/airflow.db.new").write_text("what a killed migration has left")
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    with start_up(root, port) as process:
        output = read_until(process, "Ctrl-C stops it.")
        assert f"its components write to {root}/.airflow/logs/up.log\n" in output
        assert f"Airflow is up: {address}\n" in output
        login = re.search(r"Log in as (\w+) with the password (\S+)\n", output)
        keeper = int((root / ".airflow/up.lock").read_text())
        members = session_members(keeper)
        assert {os.getsid(pid) for pid in members} == {keeper}

        assert health_problem(address) is None

        # Only people who know the password come in, and only from this machine.
        assert status(f"{address}/") == 200
        assert status(f"{address}/api/v2/dags") == 401
        assert status(f"{address}/auth/token") == 403
        assert status(f"{address}/auth/token", username=login[1], password="guess") == 401
        assert status(f"{address}/auth/token", username=login[1], password=login[2]) == 201
        assert listeners(members) == {("127.0.0.1", port)}
        passwords = root / ".airflow/simple_auth_manager_passwords.json.generated"
        assert passwords.stat().st_mode & 0o077 == 0
        assert login[2] not in (root / ".airflow/logs/up.log").read_text()

        # The DAG is not paused, and a task of it reaches the warehouse and reports its end.
        wait_until(lambda: task_states(root) == ["success"])
        with sqlite3.connect(root / "data/saas_funnel.db") as warehouse:
            assert warehouse.execute("select count(*) from ran").fetchone() == (0,)

        with start_up(root, free_port()) as second:
            assert second.communicate(timeout=120)[0] == (
                f"Airflow runs already in this project; stop it there with Ctrl-C, or: kill {keeper}\n"
            )

        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert session_members(keeper) == []
        assert status(f"{address}/") is None
        assert "does not answer" in health_problem(address)


@contextmanager
def start_up(root: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`make up`, and the end of it also where the test fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
    process = subprocess.Popen(
        [sys.executable, "-c", UP, root],
        env={**env, "PYTHONPATH": str(PLUGINS), "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    output = ""
    for line in process.stdout:
        output += line
        if words in line:
            return output
    raise AssertionError(f"it ended with {process.wait()} after:\n{output}")


def status(url: str, **body: str) -> int | None:
    """The HTTP status of a GET, or with a body of a POST; None where nobody answers."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def listeners(pids: list[int]) -> set[tuple[str, int]]:
    """The addresses and ports on which these processes can be reached."""
    found = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # short-lived ones come and go
            connections = psutil.Process(pid).net_connections("inet")
            found |= {tuple(each.laddr) for each in connections if each.status == psutil.CONN_LISTEN}
    return found


def task_states(root: Path) -> list[str]:
    with sqlite3.connect(f"file:{root}/.airflow/airflow.db?mode=ro", uri=True, timeout=30) as metadata:
        return [state for (state,) in metadata.execute("select state from task_instance")]


def one_sentence(refusal: pytest.ExceptionInfo[UserError]) -> str:
    """The message, which must be one line without a second sentence."""
    message = str(refusal.value)
    assert "\n" not in message
    assert ". " not in message
    return message
