"""A team's Airflow, its services started by hand: two workers, a scheduled run, a backfill, and a worker that dies.

Needs a PostgreSQL and a Redis: tests/servers.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

import psycopg
import pytest
import servers
from airflow_home import ENDED, wait_until
from team_airflow import Member, Team, edited

from growth import definitions, pipeline
from growth.days import Days
from growth.engines import Place, place_of
from growth.sources.synthetic import Synthetic
from growth.sql import Sql
from growth.verify import verify

pytestmark = pytest.mark.slow

SCALE = 0.05
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
BRAKED = "int_user_engagement"


def days_ago(days: int) -> date:
    return YESTERDAY + timedelta(days=1 - days)


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Place]:
    """A database with all days from 80 to 30 days ago."""
    with servers.fresh_database("team_warehouse") as url:
        parts = urlsplit(url)
        said = {"host": parts.hostname, "port": parts.port, "login": parts.username, "password": parts.password}
        said = {"conn_type": "postgres", "schema": parts.path.strip("/"), **{k: v for k, v in said.items() if v}}
        place = place_of(json.dumps(said))
        with closing(place.engine.connect(place)) as connection:
            days = Days(days_ago(80), days_ago(30))
            pipeline.run(connection, Sql(definitions.load(), place.kind), Synthetic(scale=SCALE), days, "history")
        yield place


def ask(place: Place, query: str) -> list[tuple]:
    with closing(place.engine.connect(place)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, warehouse: Place) -> Iterator[Team]:
    with servers.fresh_database("team_metadata") as metadata, servers.free_redis() as redis:
        folder = tmp_path_factory.mktemp("team")
        team = Team(folder, metadata, redis, warehouse.as_json(), SAAS_GROWTH_SCALE=str(SCALE))
        soon = 'retry_delay": timedelta(seconds=1)'
        edited(team.members, "dags/saas_growth.py", 'retry_delay": timedelta(seconds=30)', soon)
        edited(team.members, "plugins/growth/operators.py", "poke_interval=15", "poke_interval=5")
        with team.started():
            yield team


def test_every_service_is_well_by_its_own_health_check(team: Team) -> None:
    started = [member for member in team.members.values() if member.process and member.service != "init"]
    assert {member.name: member.is_healthy() for member in started} == {
        "api-server": True,
        "scheduler": True,
        "dag-processor": True,
        "triggerer": True,
        "worker-1": True,
        "worker-2": True,
    }


class Trouble:
    """A scheduled run and a backfill at the same time; a worker is killed in the middle of a transaction of a task."""

    def __init__(self, team: Team, warehouse: Place) -> None:
        team.backfill(days_ago(6), days_ago(4), "--max-active-runs", "3")
        with psycopg.connect(**self._server(warehouse)) as brake:
            brake.execute(f"lock table saas_growth.{BRAKED} in share row exclusive mode")
            team.pause(False)
            wait_until(lambda: self._is_braked(warehouse), words=f"{BRAKED} to hang")
            wait_until(lambda: self._unfinished(team) >= {"scheduled", "backfill"}, words="both kinds of runs")
            query = "select run_id, pid from task_instance where task_id = ? and state = 'running'"
            ((self.run, pid),) = wait_until(lambda: team.project.metadata(query, BRAKED))
            self.killed: Member = team.worker_of(pid)
            self.tasks_before = {task for task, (state, _) in team.tasks(self.run).items() if state == "success"}
            self.at_the_same_time = self._unfinished(team)
            self.killed.kill()
        self.died_at = datetime.now(UTC)
        self.runs = {**team.runs("scheduled"), **team.runs("backfill")}
        team.wait_for(*self.runs, seconds=600)

    def _server(self, place: Place) -> dict[str, object]:
        said = {"host": place.host, "port": place.port, "user": place.login, "password": place.password}
        return {"dbname": place.schema, **{key: value for key, value in said.items() if value}}

    def _is_braked(self, place: Place) -> bool:
        return bool(ask(place, "select 1 from pg_locks where not granted"))

    def _unfinished(self, team: Team) -> set[str]:
        return {kind for kind in ("scheduled", "backfill") if not set(team.runs(kind).values()) <= ENDED}


@pytest.fixture(scope="module")
def trouble(team: Team, warehouse: Place) -> Trouble:
    return Trouble(team, warehouse)


def test_all_runs_succeed_though_a_worker_died_in_the_middle_of_one(team: Team, trouble: Trouble) -> None:
    assert trouble.at_the_same_time == {"scheduled", "backfill"}
    assert len(team.runs("scheduled")) == 1
    assert len(team.runs("backfill")) == 3
    assert {team.state(run) for run in trouble.runs} == {"success"}
    assert not trouble.killed.is_running()
    assert not trouble.killed.is_healthy()


def test_what_it_had_in_hand_is_done_again_by_the_other_one(team: Team, trouble: Trouble) -> None:
    (other,) = (worker for worker in team.workers if worker is not trouble.killed)
    state, tries = team.tasks(trouble.run)[BRAKED]
    assert (state, tries) == ("success", 2)
    assert team.ran_on(trouble.run)[BRAKED] == other.name
    assert {team.ran_on(trouble.run)[task] for task in trouble.tasks_before} == {"worker-1", "worker-2"}
    ended = "select max(end_date) from task_instance where run_id = ?"
    ((end,),) = team.project.metadata(ended, trouble.run)
    print(f"the run of the killed worker ended {(end - trouble.died_at).total_seconds():.0f} s after its death")


def test_the_tables_are_those_of_a_rebuild(trouble: Trouble, warehouse: Place) -> None:
    verdict = verify(warehouse, Sql(definitions.load(), warehouse.kind))
    assert [str(difference) for difference in verdict.differences] == []
    assert verdict.as_of == YESTERDAY.isoformat()
    assert verdict.rows > 0
    landed = ask(warehouse, "select distinct batch_date from raw_batches order by batch_date desc limit 4")
    assert landed == [(f"{days_ago(n)}",) for n in (1, 4, 5, 6)]
    assert ask(warehouse, "select * from lease") == []


def test_the_api_server_shows_what_tasks_said_on_each_worker(team: Team, trouble: Trouble) -> None:
    first, second = (team.log(trouble.run, BRAKED, attempt) for attempt in (1, 2))
    assert BRAKED in first, "of the worker that is gone, too"
    assert "Post Execute" not in first
    assert "Post Execute" in second


def test_tasks_leave_nothing_in_the_folder_of_their_worker(team: Team, trouble: Trouble) -> None:
    for worker in team.workers:
        assert list((worker.root / "data").iterdir()) == []
        written = {path.name for path in (worker.folder / "home").rglob("*") if path.is_file()}
        assert written <= {"airflow.cfg"}, written
