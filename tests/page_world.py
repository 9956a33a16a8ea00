"""A warehouse to look at, and Airflow's API server to look at it through: for browser tests and screenshots."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from airflow_home import ROOT, free_port, wait_until
from parts import need
from playwright.sync_api import Browser, Page, sync_playwright
from worlds import Warehouse

from growth.local_airflow.api import ensure_passwords, health_problem
from growth.local_airflow.environment import airflow_command, prepare_airflow
from growth.local_airflow.server import server_environment
from growth.sources.synthetic.rows import Synthetic

LAST_DAY = date(2026, 10, 31)
DAILY = 8  # runs of a day each: what arrives late in them restates what was final

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def two_years(path: Path, scale: float = 1.0) -> Warehouse:
    """The invented company up to LAST_DAY; its last days arrive one by one."""
    logging.disable(logging.WARNING)
    warehouse = Warehouse(path, Synthetic(scale=scale))
    warehouse.run(warehouse.source.first_day, LAST_DAY - timedelta(days=DAILY))
    for n in reversed(range(DAILY)):
        warehouse.run(LAST_DAY - timedelta(days=n))
    logging.disable(logging.NOTSET)
    return warehouse


class Server:
    """An API server with two users: admin, and viewer who may read."""

    def __init__(self, home: Path, warehouse: Path, sub_path: str = "") -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}{sub_path}"
        base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
        base |= {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_GROWTH_WAREHOUSE": f'{{"conn_type": "sqlite", "host": "{warehouse}"}}',
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        }
        self.env = server_environment(ROOT, base, port)
        prepare_airflow(ROOT, self.env)
        self.passwords = ensure_passwords(self.env)
        self.log = home / "api-server.log"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server alone: the page needs neither a scheduler nor a DAG."""
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [airflow_command(), "api-server", "--workers", "1"],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: process.poll() is not None or health_problem(self.url, with_components=False) is None,
                words=str(self.log),
            )
            assert process.poll() is None, self.log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(30)

    def log_in(self, page: Page, user: str) -> None:
        page.goto(f"{self.url}/")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(self.passwords[user])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Growth").or_(page.get_by_role("button", name="Growth")).first.wait_for()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("browser"), args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
