"""docker-compose.yaml: valid, closed to the network, and in agreement with what `make up` starts."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from growth.environment import airflow_environment
from growth.up import ui_environment

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "docker-compose.yaml"
ROOT = Path("/opt/saas_growth")

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-+])(?P<text>[^}]*))?\}")


def interpolated(text: str, shell: dict[str, str]) -> str:
    """What Compose makes of ${NAME}, ${NAME:-default} and ${NAME:+replacement}."""

    def value(match: re.Match[str]) -> str:
        given, kind, text = shell.get(match["name"], ""), match["kind"], match["text"] or ""
        if kind == "+":
            return text if given else ""
        return given or text

    return VARIABLE.sub(value, text)


def airflow_service(**shell: str) -> dict:
    """The one service, as Compose reads it where these variables are set."""
    return yaml.safe_load(interpolated(FILE.read_text(), shell))["services"]["airflow"]


def container_environment(**shell: str) -> dict[str, str]:
    """The environment in the container; a name without a value is passed on from the shell."""
    given = airflow_service(**shell)["environment"]
    return {name: value for name, value in given.items() if value is not None} | {
        name: shell[name] for name, value in given.items() if value is None and name in shell
    }


def test_it_is_a_valid_compose_file():
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shell", [{}, {"PORT": "8085"}])
def test_every_published_port_is_open_to_this_machine_only(shell):
    services = yaml.safe_load(interpolated(FILE.read_text(), shell))["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert not any("network_mode" in service for service in services.values())


def test_the_port_published_is_the_one_that_airflow_listens_on_and_prints():
    service = airflow_service(PORT="8085")
    env = ui_environment(ROOT, container_environment(PORT="8085"))
    assert service["ports"] == [f"127.0.0.1:{env['AIRFLOW__API__PORT']}:{env['AIRFLOW__API__PORT']}"]
    assert env["AIRFLOW__API__HOST"] == "0.0.0.0"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8085/execution/"
    assert "http://127.0.0.1:8085'" in service["healthcheck"]["test"][-1]


def test_the_healthcheck_fails_where_nothing_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    _, _, *arguments = airflow_service(PORT=port)["healthcheck"]["test"]
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_the_image_holds_the_airflow_that_is_tested_here():
    assert airflow_service()["build"]["dockerfile_inline"].startswith(
        f"FROM apache/airflow:{version('apache-airflow')}\n"
    )
    mirror = airflow_service(AIRFLOW_IMAGE="registry.example/airflow:3.3.2")
    assert mirror["build"]["dockerfile_inline"].startswith("FROM registry.example/airflow:3.3.2\n")


def test_it_starts_what_make_up_starts():
    assert airflow_service()["command"] == ["python", "-m", "growth", "up"]


def test_the_shell_in_the_container_finds_what_the_components_find():
    """What Compose says in so many words is what the project would say anyway, save for Airflow's home."""
    said = container_environment()
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
    for volume in airflow_service(SAAS_GROWTH_SOURCE_PATH="/srv/exports")["volumes"]:
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


def test_the_operators_source_reaches_the_container():
    env = container_environment(
        SAAS_GROWTH_SOURCE="files", SAAS_GROWTH_SOURCE_PATH="/srv/exports", SAAS_GROWTH_SCALE="10"
    )
    assert env["SAAS_GROWTH_SOURCE"] == "files"
    assert env["SAAS_GROWTH_SOURCE_PATH"] == f"{ROOT}/source"
    assert env["SAAS_GROWTH_SCALE"] == "10"
    assert "SAAS_GROWTH_SEED" not in env
    assert container_environment()["SAAS_GROWTH_SOURCE_PATH"] == ""


def test_it_does_not_fill_the_disk_or_the_machine():
    service = airflow_service()
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
