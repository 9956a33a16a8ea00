"""docker-compose.yaml: valid, closed to the network, without a default secret, and in agreement with the project.

Its images cannot run here. That the commands of the team's Airflow come up, and that their health checks see it, is
tried in test_team.py, with the same commands and the same environment; those of Redis and the refusal are tried here.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import parts
import pytest
import yaml
from airflow_home import free_port, wait_until
from compose_file import FILE, PROJECT, ROOT, compose, environment, interpolated, services

from growth.commands import team
from growth.errors import UserError
from growth.local_airflow.environment import _defaults, airflow_environment
from growth.local_airflow.server import server_environment

SECRETS = team.made_up_secrets()
CONNECTION = '{"conn_type": "postgres", "host": "db.example"}'
ALL = sorted(services())
END_BY_THEMSELVES = {"check-secrets", "init"}
TEAM = {"check-secrets", "init", "metadata", "redis", "api-server", "scheduler", "dag-processor", "triggerer", "worker"}
OF_AIRFLOW = TEAM - {"check-secrets", "metadata", "redis"}


@pytest.mark.parametrize("shell", [None, {}, SECRETS])
def test_it_is_a_valid_compose_file(tmp_path, shell):
    """As it is written, and with variables filled in."""
    file = tmp_path / "docker-compose.yaml"
    file.write_text(FILE.read_text("utf-8") if shell is None else yaml.safe_dump(compose(**shell)), encoding="utf-8")
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "shell", "result"),
    [
        ("a $${x} ${A}", {"A": "1"}, "a ${x} 1"),
        ("${A-d}|${A:-d}", {"A": ""}, "|d"),
        ("${A-d}|${A:-d}", {}, "d|d"),
        ("${A:-x${B:-y}z} ${A:+r}", {}, "xyz "),
        ("${A:-x${B:-y}z} ${A:+r}", {"A": "{}"}, "{} r"),
        ("${A:+-${B}-}", {"A": "1", "B": "2"}, "-2-"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text, shell, result):
    assert interpolated(text, shell) == result


# --- Every profile


def test_the_profiles_are_what_the_file_says():
    assert set(services("single")) == {"airflow"}
    assert set(services("team")) == TEAM
    assert set(services("postgres")) == {"warehouse"}
    assert set(services("single", "team", "postgres")) == set(ALL), "each service belongs to a profile"


@pytest.mark.parametrize("profiles", [("single",), ("single", "postgres"), ("team",), ("team", "postgres")])
def test_a_profile_waits_for_nobody_who_is_not_in_it(profiles):
    chosen = services(*profiles)
    for name, service in chosen.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in chosen or how.get("required") is False, f"{name} waits for {other}"
            wanted = "service_completed_successfully" if other in END_BY_THEMSELVES else "service_healthy"
            assert how["condition"] == wanted


@pytest.mark.parametrize("shell", [{}, {"PORT": "8085"}, {"COMPOSE_PROFILES": "team"}])
def test_what_is_published_is_the_ui_and_to_this_machine_only(shell):
    published = {name: service["ports"] for name, service in services(**shell).items() if "ports" in service}
    port = shell.get("PORT", "8080")
    assert published == {"airflow": [f"127.0.0.1:{port}:{port}"], "api-server": [f"127.0.0.1:{port}:8080"]}
    assert not any({"network_mode", "privileged", "cap_add"} & set(service) for service in services(**shell).values())


@pytest.mark.parametrize("name", ALL)
def test_no_service_fills_the_disk_or_the_machine_or_stays_down(name):
    service = services()[name]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert 0 < float(limits["cpus"]) <= 2
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert service["restart"] == ("no" if name in END_BY_THEMSELVES else "unless-stopped")
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_limits_are_those_that_the_page_for_teams_names():
    page = (PROJECT / "docs/team.md").read_text(encoding="utf-8")
    said = {
        name: (cpus, size + unit[0].lower())
        for name, cpus, size, unit in re.findall(
            r"^\| `([\w-]+)` \|.*\| ([\d.]+), (\d+) ([MG])B \|$", page, flags=re.MULTILINE
        )
    }
    limits = {name: service["deploy"]["resources"]["limits"] for name, service in services("team", "postgres").items()}
    assert said == {name: (limit["cpus"], limit["memory"]) for name, limit in limits.items()}


@pytest.mark.parametrize("name", ALL)
def test_every_service_that_stays_says_whether_it_is_well(name):
    service = services()[name]
    if name in END_BY_THEMSELVES:
        assert service["healthcheck"] == {"disable": True}
        return
    check = service["healthcheck"]
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert "stop_grace_period" in service


def test_what_is_to_last_lies_in_a_volume_that_is_named():
    whole = compose()
    named = {
        volume.split(":")[0]
        for service in whole["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith((".", "/"))
    }
    assert named == set(whole["volumes"])
    data = "/var/lib/postgresql/data"
    assert whole["services"]["metadata"]["volumes"] == [f"metadata:{data}"]
    assert whole["services"]["warehouse"]["volumes"] == [f"warehouse:{data}"]


# --- The image


def test_the_image_holds_the_airflow_and_the_packages_that_are_tested_here():
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    image = re.search(r"^ARG AIRFLOW_IMAGE=(.+)$", text, flags=re.MULTILINE)[1]
    assert image == f"apache/airflow:slim-{version('apache-airflow')}-python3.11"
    for name in ("airflow", *OF_AIRFLOW):
        assert services()[name]["build"] == {"context": ".", "args": {"AIRFLOW_IMAGE": image}}
    mirror = services(AIRFLOW_IMAGE="registry.example/airflow")["worker"]["build"]["args"]
    assert mirror == {"AIRFLOW_IMAGE": "registry.example/airflow"}
    for file in re.findall(r"[\w-]+\.txt", text):
        assert (PROJECT / file).is_file(), file


def test_nothing_but_the_lists_of_packages_goes_into_the_image():
    assert (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1:] == [
        "*",
        "!requirements*.txt",
        "!constraints.txt",
    ]


# --- Secrets


def test_no_secret_has_a_default():
    """Two sets of secrets change every place that holds one; without any nothing is left in these places."""
    text = FILE.read_text(encoding="utf-8")
    for name in team.SECRET_BYTES:
        assert set(re.findall(rf"\${{{name}[^}}]*}}", text)) == {f"${{{name}-}}"}, name
    with_none, with_all = json.dumps(services()), json.dumps(services(**SECRETS))
    for secret in SECRETS.values():
        assert secret in with_all
        assert secret not in with_none
    # A password that is written out would stand behind one of these.
    assert not re.search(r"(?i)(password|secret|key)[\w]*: *[\"']?[\w-]", re.sub(r"(?m)^\s*#.*$", "", text))
    assert not re.search(r"://[^$/\s:]*:[^$/\s@]+@", text)


def test_a_single_machine_asks_for_no_secret_of_the_team():
    assert not [value for value in environment("airflow", **SECRETS).values() if value in SECRETS.values()]


def check_secrets(**shell: str) -> subprocess.CompletedProcess[str]:
    service = services(**shell)["check-secrets"]
    command = [*service["entrypoint"], *service["command"]]
    env = {"PATH": "/usr/bin:/bin", **environment("check-secrets", **shell)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_team_starts_with_its_secrets():
    done = check_secrets(**SECRETS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_team_does_not_start_without_secrets_and_says_which_are_missing():
    done = check_secrets()
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        f"{name} is missing: run make secrets, or fill in .env as .env.example says." for name in sorted(SECRETS)
    ]
    waiting = {name for name, service in services("team").items() if "check-secrets" in service.get("depends_on", {})}
    assert waiting == {"init", "metadata", "redis"}
    assert all("init" in services()[name]["depends_on"] for name in OF_AIRFLOW - {"init"})


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is missing"),
        ("changeme", "is shorter than 32 characters"),
        ("p@ss/word" * 4, "has a character other than A-Z a-z 0-9 _ - =, and it becomes part of an address"),
        ("$(touch x)`id` ; '\" \\ $HOME a long one", "has a character other than"),
    ],
)
def test_one_bad_secret_is_enough_to_refuse(name, value, words):
    done = check_secrets(**{**SECRETS, name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} {words}")
    assert len(done.stderr.splitlines()) == 1


def test_whoever_has_a_warehouse_needs_no_password_for_the_one_here():
    shell = {**SECRETS, "WAREHOUSE_PASSWORD": "", "AIRFLOW_CONN_GROWTH_WAREHOUSE": CONNECTION}
    assert check_secrets(**shell).returncode == 0
    assert environment("worker", **shell)["AIRFLOW_CONN_GROWTH_WAREHOUSE"] == CONNECTION
    assert environment("airflow", **shell)["AIRFLOW_CONN_GROWTH_WAREHOUSE"] == CONNECTION


def example() -> dict[str, str]:
    """The variables of .env.example, also those that are commented out."""
    text = (PROJECT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", text, flags=re.MULTILINE))


def test_the_example_explains_every_variable_and_holds_no_secret():
    text = re.sub(r"(?m)^\s*#.*$", "", FILE.read_text(encoding="utf-8"))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    used |= {name for name, value in compose()["x-team-environment"].items() if value is None}
    assert set(example()) == used | {"COMPOSE_PROFILES"}
    assert {name for name in SECRETS if example()[name]} == set()
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        assert not re.match(r"#?[A-Z][A-Z0-9_]+=", line) or before, f"nothing explains {line}"


def test_make_secrets_fills_in_the_example(tmp_path, capsys):
    (tmp_path / ".env.example").write_text((PROJECT / ".env.example").read_text("utf-8"), encoding="utf-8")
    assert team.make_secrets(tmp_path) == 0
    made = dict(re.findall(r"^([A-Z_]+)=(.*)$", (tmp_path / ".env").read_text("utf-8"), flags=re.MULTILINE))
    assert check_secrets(**made).returncode == 0
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert len(base64.urlsafe_b64decode(made["FERNET_KEY"])) == 32
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert not [secret for secret in (made[name] for name in SECRETS) if secret in capsys.readouterr().out]
    with pytest.raises(UserError, match="exists, and services may have been started with its secrets: edit it"):
        team.make_secrets(tmp_path)


def test_people_s_passwords_are_made_up_once(tmp_path, capsys):
    env = environment("init", **SECRETS, AIRFLOW_USERS="anna:admin,ben:viewer")
    env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(tmp_path / "passwords.json")
    said = []
    for _ in range(2):
        assert team.show_login(env) == 0
        said.append(capsys.readouterr().out)
    assert re.fullmatch(r"Log in as anna with the password \S{16}\nLog in as ben with the password \S{16}\n", said[0])
    assert said[1] == said[0]
    assert (tmp_path / "passwords.json").stat().st_mode & 0o777 == 0o600


# --- Redis


@contextmanager
def redis(folder: Path, port: int, **shell: str):
    """Its command, with a folder and a port of this machine."""
    *start, script = services(**shell)["redis"]["command"]
    assert "dir /data\n" in script
    script = script.replace("dir /data\n", f"dir {folder}\nport {port}\nbind 127.0.0.1\n")
    env = {"PATH": "/usr/bin:/bin", **environment("redis", **shell)}
    process = subprocess.Popen([*start, script], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def redis_is_healthy(port: int, **shell: str) -> bool:
    kind, script = services()["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    script = script.replace("redis-cli", f"redis-cli -p {port}")
    env = {"PATH": "/usr/bin:/bin", **environment("redis", **shell)}
    return not subprocess.run(["sh", "-c", script], env=env, check=False, capture_output=True).returncode


@pytest.mark.needs("server programs")
def test_redis_answers_those_who_know_the_password_and_keeps_what_it_was_told(tmp_path):
    port, env = free_port(), {"PATH": "/usr/bin:/bin", **environment("redis", **SECRETS)}
    with redis(tmp_path, port, **SECRETS) as process:
        wait_until(lambda: redis_is_healthy(port, **SECRETS), 20, "Redis")
        assert not redis_is_healthy(port)
        assert not redis_is_healthy(port, REDIS_PASSWORD="another")
        assert SECRETS["REDIS_PASSWORD"] not in Path(f"/proc/{process.pid}/cmdline").read_text()
        subprocess.run(["redis-cli", "-p", f"{port}", "lpush", "default", "a task"], env=env, check=True)
        wait_until(lambda: any(file.stat().st_size for file in tmp_path.glob("appendonlydir/*.incr.aof")), 20)
    with redis(tmp_path, port, **SECRETS):
        wait_until(lambda: redis_is_healthy(port, **SECRETS), 20, "Redis")
        found = subprocess.run(["redis-cli", "-p", f"{port}", "llen", "default"], env=env, stdout=subprocess.PIPE)
        assert found.stdout.strip() == b"1"


@pytest.mark.needs("server programs")
def test_redis_does_not_start_without_a_password(tmp_path):
    with redis(tmp_path, free_port()) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "REDIS_PASSWORD is missing" in said


# --- Databases


@pytest.mark.needs("PostgreSQL", "server programs")
@pytest.mark.parametrize("name", ["metadata", "warehouse"])
def test_a_database_is_healthy_when_it_answers(name):
    address = urlsplit(parts.need("PostgreSQL"))
    kind, *command = services()[name]["healthcheck"]["test"]
    assert kind == "CMD"
    env = services()[name]["environment"]
    assert command[-4:] == ["-U", env["POSTGRES_USER"], "-d", env["POSTGRES_DB"]]
    answers = [*command, "-h", address.hostname, "-p", f"{address.port or 5432}"]
    assert subprocess.run(answers, check=False).returncode == 0
    assert subprocess.run([*command, "-p", f"{free_port()}"], check=False).returncode == 2


# --- Airflow for a team


@pytest.mark.parametrize("name", sorted(OF_AIRFLOW - {"worker"}))
def test_all_components_have_one_environment(name):
    assert environment(name, **SECRETS) == environment("init", **SECRETS)
    own = environment("worker", **SECRETS).items() - environment("init", **SECRETS).items()
    assert own == {("DUMB_INIT_SETSID", "0"), ("SAAS_GROWTH_STRIPE_FOLDER", "/opt/airflow/stripe_api")}


def test_its_environment_is_the_project_s_but_for_what_makes_it_a_team_s():
    said = environment("worker", **SECRETS)
    meant = _defaults(ROOT, Path("/opt/airflow"))
    different = {name for name, value in meant.items() if said.get(name) != value}
    assert different == {
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__API__HOST",
        "AIRFLOW_CONN_GROWTH_WAREHOUSE",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION",
        # How many processes LocalExecutor keeps, and what an `airflow` command prints.
        "AIRFLOW__CORE__PARALLELISM",
        "PYTHONWARNINGS",
    }


def test_the_addresses_in_it_are_those_of_its_services():
    env = environment("worker", **SECRETS)
    text = json.dumps(env)
    hosts = set(re.findall(r"://(?:[^@/\s\"]*@)?([\w.-]+):(\d+)", text))
    assert hosts == {("metadata", "5432"), ("redis", "6379"), ("warehouse", "5432"), ("api-server", "8080")}
    assert {host for host, _ in hosts} <= set(services("team", "postgres"))
    assert services()["api-server"]["command"] == ["airflow", "api-server"], "on Airflow's own port, 8080"


def test_airflow_reads_the_warehouse_s_connection_as_it_is_meant():
    from airflow.sdk import Connection

    url = environment("worker", **SECRETS)["AIRFLOW_CONN_GROWTH_WAREHOUSE"]
    connection = Connection.from_uri(url, conn_id="growth_warehouse")
    assert (connection.conn_type, connection.host, connection.port) == ("postgres", "warehouse", 5432)
    database = services()["warehouse"]["environment"]
    assert (connection.login, connection.schema) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert connection.password == SECRETS["WAREHOUSE_PASSWORD"]


def test_no_component_writes_where_another_reads_but_for_logs_passwords_and_what_stripe_said():
    written = {
        name: {volume.split(":")[0] for volume in service["volumes"] if not volume.endswith(":ro")}
        for name, service in services().items()
        if name in OF_AIRFLOW
    }
    assert written == {
        "scheduler": {"logs"},
        "dag-processor": {"logs"},
        "triggerer": {"logs"},
        "init": {"logs", "login"},
        "api-server": {"logs", "login"},
        "worker": {"logs", "stripe_api"},
    }


def test_the_operator_s_source_reaches_the_workers():
    shell = {"SAAS_GROWTH_SOURCE": "files", "SAAS_GROWTH_SOURCE_PATH": "/srv/exports", "SAAS_GROWTH_SCALE": "10"}
    for service in ("worker", "airflow"):
        env = environment(service, **shell)
        assert env["SAAS_GROWTH_SOURCE"] == "files"
        assert env["SAAS_GROWTH_SOURCE_PATH"] == f"{ROOT}/source"
        assert env["SAAS_GROWTH_SCALE"] == "10"
        assert "SAAS_GROWTH_SEED" not in env
        assert environment(service)["SAAS_GROWTH_SOURCE_PATH"] == ""
        assert f"/srv/exports:{ROOT}/source:ro" in services(**shell)[service]["volumes"]


# --- Airflow on a single machine


def test_the_port_published_is_the_one_that_airflow_listens_on_and_prints():
    service = services(PORT="8085")["airflow"]
    # The command `up` reads its port from this variable.
    container = environment("airflow", PORT="8085")
    env = server_environment(ROOT, container, int(container["PORT"]))
    assert service["ports"] == [f"127.0.0.1:{env['AIRFLOW__API__PORT']}:{env['AIRFLOW__API__PORT']}"]
    assert env["AIRFLOW__API__HOST"] == "0.0.0.0"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8085/execution/"
    assert "http://127.0.0.1:8085'" in service["healthcheck"]["test"][-1]


def test_the_healthcheck_fails_with_the_reason_where_nothing_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    _, _, *arguments = services(PORT=port)["airflow"]["healthcheck"]["test"]
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"http://127.0.0.1:{port}/api/v2/monitor/health does not answer (")
    assert len(done.stderr.splitlines()) == 1


def test_it_starts_what_make_up_starts():
    assert services()["airflow"]["command"] == ["python", "-m", "growth", "up"]


def test_the_shell_in_the_container_finds_what_the_components_find():
    """What Compose says in so many words is what the project would say anyway, save for Airflow's home."""
    said = environment("airflow")
    meant = airflow_environment(ROOT, {"AIRFLOW_HOME": "/opt/airflow"})
    for name in (
        "PYTHONPATH",
        "AIRFLOW_HOME",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__PLUGINS_FOLDER",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "SAAS_GROWTH_SOURCE",
    ):
        assert said[name] == meant[name], name
    assert said["AIRFLOW_CONN_GROWTH_WAREHOUSE"] == f"sqlite://{ROOT}/data/saas_funnel.db"


def test_the_code_is_mounted_read_only_and_the_data_is_not():
    mounts = {}
    for volume in services(SAAS_GROWTH_SOURCE_PATH="/srv/exports")["airflow"]["volumes"]:
        source, target, *mode = volume.split(":")
        mounts[target] = (source, mode == ["ro"])
    assert mounts == {
        f"{ROOT}/dags": ("./dags", True),
        f"{ROOT}/include": ("./include", True),
        f"{ROOT}/plugins": ("./plugins", True),
        f"{ROOT}/source": ("/srv/exports", True),
        f"{ROOT}/data": ("./data", False),
        "/opt/airflow": ("airflow_home", False),
    }
