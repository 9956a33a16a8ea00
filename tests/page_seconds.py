"""What each page costs on the server with a million users: PYTHONPATH=plugins:tests python tests/page_seconds.py.

The marts of the invented company, each user a hundred times over; cohorts and channels have as many rows as they have.
Seconds are of one machine in one run: the median and the slowest of some requests to the app, without the network.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from airflow_home import ROOT
from page_probe import Probe
from page_world import two_years

from growth.local_airflow.environment import airflow_environment, prepare_airflow

TIMES = int(os.environ.get("TIMES") or 100)
REQUESTS = 5
ASKED = [
    "/",
    "/funnel",
    "/funnel?from=2024-11&source=google",
    "/retention?from=2024-11",
    "/active-users?from=2024-11",
    "/health",
    "/health?page=200&sort=last_active_date&order=desc",
    "/health?q=enterprise&list=upsell-ready",
    "/data-quality",
    "/data-quality?sort=row_key&q=paid",
]


def multiplied(path: Path) -> int:
    """The invented company with each of its users so many times; gives how many there are."""
    two_years(path).connection.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, others in {
            "dim_user_health": {"user_id": "t.user_id || '-' || n.n"},
            "stg_users": {"user_id": "t.user_id || '-' || n.n", "email": "n.n || t.email"},
            "rejects": {"source_row": "t.source_row + 1000000 * n.n"},
        }.items():
            columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
            values = ", ".join(others.get(column, f"t.{column}") for column in columns)
            connection.execute(
                "with recursive n (n) as (select 1 union all select n + 1 from n where n < ?)"
                f" insert into {table} select {values} from {table} as t cross join n",
                (TIMES - 1,),
            )
        connection.execute(
            "insert into restatements select t.* from restatements as t cross join stg_users as u"
            " where u.user_id like 'u000%'"
        )
        ((users,),) = connection.execute("select count(*) from dim_user_health").fetchall()
    return users


def main() -> None:
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SAAS_GROWTH"))}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        users = multiplied(folder / "warehouse.db")
        env = airflow_environment(
            ROOT,
            base
            | {
                "AIRFLOW_HOME": str(folder / "airflow"),
                "AIRFLOW_CONN_GROWTH_WAREHOUSE": f'{{"conn_type": "sqlite", "host": "{folder}/warehouse.db"}}',
            },
        )
        prepare_airflow(ROOT, env)
        probe = Probe(env, folder)
        print(f"{users:,} users in {(folder / 'warehouse.db').stat().st_size / 1e6:,.0f} MB")
        started = time.perf_counter()
        probe.get("/funnel", "admin")
        print(f"Airflow's start with the first request: {time.perf_counter() - started:.1f} s")
        for path in ASKED:
            seconds = []
            for _ in range(REQUESTS):
                started = time.perf_counter()
                assert probe.get(path, "admin").status == 200
                seconds.append(time.perf_counter() - started)
            print(f"{path:<55} median {median(seconds):.3f} s   slowest {max(seconds):.3f} s", flush=True)
        probe.close()


if __name__ == "__main__":
    main()
