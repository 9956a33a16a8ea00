"""`up`: Airflow with its UI, until Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from growth.engines import Place
from growth.errors import UserError
from growth.local_airflow.api import how_to_log_in, ui_address
from growth.local_airflow.environment import make_folders, prepare_airflow
from growth.local_airflow.server import (
    log_path,
    only_one,
    refuse_taken_port,
    running,
    server_environment,
    wait_until_ready,
)


def up(root: Path, environment: Mapping[str, str], place: Place, port: int | None) -> int:
    """Run Airflow until Ctrl-C or SIGTERM (0) or until a component stops by itself (1). Raises UserError."""
    env = server_environment(root, {**environment, "AIRFLOW_CONN_GROWTH_WAREHOUSE": place.as_json()}, port)
    make_folders(root, env)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with only_one(Path(env["AIRFLOW_HOME"]) / "up.lock") as lock:
            refuse_taken_port(env["AIRFLOW__API__HOST"], int(env["AIRFLOW__API__PORT"]))
            prepare_airflow(root, env)
            with running(root, env, lock) as keeper:
                if wait_until_ready(keeper, env):
                    print(f"\nAirflow is up: {ui_address(env)}\n{how_to_log_in(env)}\nCtrl-C stops it.", flush=True)
                status = keeper.wait()
            if status < 0:
                raise UserError(f"Airflow was stopped from outside (signal {-status}); read {log_path(env)}.")
            return status
    except KeyboardInterrupt:
        return 0
