"""A team's Airflow, its services started by hand: two workers, a scheduled run, a backfill, and a worker that dies.

Needs PostgreSQL and Redis: tests/parts.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import servers
from airflow_home import ENDED, wait_until
from team_airflow import Member, Team, edited

from growth.days import Days
from growth.engines import Place, place_of
from growth.language import definitions
from growth.language.sql import Sql
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse import pipeline
from growth.warehouse.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.prove, pytest.mark.needs("PostgreSQL", "Redis")]

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


def ask(place: Place, query: str, parameters: tuple[object, ...] = ()) -> list[tuple]:
    with closing(place.engine.connect(place)) as connection:
        return connection.execute(query, parameters).fetchall()


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


class Brake:
    """Makes the task of a table hang in the middle of its transaction, where it wants to write."""

    def __init__(self, team: Team, place: Place) -> None:
        self._team, self._place = team, place

    def __enter__(self) -> Brake:
        self._session = closing(self._place.engine.connect(self._place))
        connection = self._session.__enter__()
        connection.execute("begin")
        connection.execute(f"lock table {BRAKED} in share row exclusive mode")
        return self

    def __exit__(self, *raised: object) -> None:
        self._session.__exit__(*raised)

    def task(self) -> tuple[str, Member]:
        """Wait until it hangs; gives its run and its worker."""
        hangs = (
            "select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = ?)"
        )
        wait_until(lambda: ask(self._place, hangs, (self._place.schema,)), words=f"{BRAKED} to hang")
        query = "select run_id, pid from task_instance where task_id = ? and state = 'running' and pid is not null"
        ((run, pid),) = wait_until(lambda: self._team.project.metadata(query, BRAKED))
        return run, self._team.worker_of(pid)


class Trouble:
    """A scheduled run and a backfill at the same time; a worker is killed in the middle of a transaction of a task."""

    def __init__(self, team: Team, warehouse: Place) -> None:
        team.backfill(days_ago(5), days_ago(4), "--max-active-runs", "2")
        with Brake(team, warehouse) as brake:
            team.pause(False)
            self.run, self.killed = brake.task()
            wait_until(lambda: self._unfinished(team) >= {"scheduled", "backfill"}, words="both kinds of runs")
            self.tasks_before = {task for task, (state, _) in team.tasks(self.run).items() if state == "success"}
            self.at_the_same_time = self._unfinished(team)
            self.killed.kill()
        self.died_at = datetime.now(UTC)
        self.runs = {**team.runs("scheduled"), **team.runs("backfill")}
        team.wait_for(*self.runs)
        self.is_running, self.is_healthy = self.killed.is_running(), self.killed.is_healthy()

    def _unfinished(self, team: Team) -> set[str]:
        return {kind for kind in ("scheduled", "backfill") if not set(team.runs(kind).values()) <= ENDED}


@pytest.fixture(scope="module")
def trouble(team: Team, warehouse: Place) -> Trouble:
    return Trouble(team, warehouse)


def test_all_runs_succeed_though_a_worker_died_in_the_middle_of_one(team: Team, trouble: Trouble) -> None:
    assert trouble.at_the_same_time == {"scheduled", "backfill"}
    assert len(team.runs("scheduled")) == 1
    assert len(team.runs("backfill")) == 2
    assert {team.state(run) for run in trouble.runs} == {"success"}
    assert (trouble.is_running, trouble.is_healthy) == (False, False)


def test_what_it_had_in_hand_is_done_again_by_the_other_one(team: Team, trouble: Trouble) -> None:
    (other,) = (worker for worker in team.workers if worker is not trouble.killed)
    assert team.tasks(trouble.run)[BRAKED] == ("success", 2)
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
    landed = ask(warehouse, "select distinct batch_date from raw_batches order by batch_date desc limit 3")
    assert landed == [(f"{days_ago(n)}",) for n in (1, 4, 5)]
    assert ask(warehouse, "select * from work_lease") == []


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


def test_a_worker_that_is_told_to_stop_ends_what_it_has_in_hand(team: Team, trouble: Trouble, warehouse: Place) -> None:
    # As Docker does with one that was killed.
    team.start_worker(trouble.killed)
    wait_until(trouble.killed.is_healthy, words="the worker to be back")
    with Brake(team, warehouse) as brake:
        team.trigger(f"{days_ago(3)}T00:00:00Z")
        run, stopped = brake.task()
        stopped.process.terminate()
        time.sleep(5)
        assert stopped.is_running(), "a task is not done"
    assert stopped.process.wait(120) == 0
    team.wait_for(run)
    assert team.state(run) == "success"
    assert team.tasks(run)[BRAKED] == ("success", 1)
    assert team.ran_on(run)[BRAKED] == stopped.name
    assert team.ran_on(run)["publish"] != stopped.name
    assert verify(warehouse, Sql(definitions.load(), warehouse.kind)).differences == []
