"""The DAG in a real scheduler: the ways to start a run, runs that overlap, tasks that are cleared, and kills.

Airflow is started once, in a copy of the project, and the tests follow one another in it.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import psutil
import pytest
from airflow_home import DAG_ID, ENDED, Airflow, Project, wait_until
from worlds import Warehouse, default_sql, sqlite_place

from growth.local_airflow import server
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse.verify import verify

pytestmark = pytest.mark.slow

SCALE = 0.05
VERIFY_ID = "saas_growth_verify"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)

# Airflow's pace, for tests: how soon it looks again, and how soon it notices that a process is gone.
PACE = {
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}

LEASE = "select * from work_lease"
DAYS = "select as_of_date, published_date from run_state"

# Triggers that write down what the runs do to a warehouse, and others that make a task whose name is put in `brakes`
# work for hours in the middle of its transaction, so that it can be killed there.
FOR_EVER = "select count(*) from calendar_months, calendar_months, calendar_months, calendar_months"
OBSERVATION = f"""
create table landings (batch_date text, run_id text);
create table steps (number integer primary key, run_id text, task_id text);
create table as_of_days (number integer primary key, as_of_date text);
create table brakes (task_id text primary key);
create trigger see_landing after insert on raw_batches when new.table_name = 'raw_events' begin
    insert into landings select new.batch_date, run_id from work_lease; end;
create trigger see_step after insert on run_steps begin
    insert into steps (run_id, task_id) values (new.run_id, new.task_id); end;
create trigger see_as_of after update of as_of_date on run_state begin
    insert into as_of_days (as_of_date) values (new.as_of_date); end;
create trigger brake_script before insert on run_steps
when new.task_id in (select task_id from brakes) begin {FOR_EVER}; end;
create trigger brake_after_commit before update of sql_seconds on run_steps
when new.task_id || ' committed' in (select task_id from brakes) begin {FOR_EVER}; end;
create trigger brake_landing before insert on raw_batches
when 'generate' in (select task_id from brakes) begin {FOR_EVER}; end;
create trigger brake_check before insert on check_results
when 'check_marts' in (select task_id from brakes) and new.check_name like 'fct%' begin {FOR_EVER}; end;
"""


def days_ago(days: int) -> date:
    return YESTERDAY + timedelta(days=1 - days)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with all days from 80 to 30 days ago."""
    path = tmp_path_factory.mktemp("history") / "warehouse.db"
    warehouse = Warehouse(path, Synthetic(scale=SCALE))
    warehouse.run(days_ago(80), days_ago(30))
    warehouse.connection.executescript(OBSERVATION)
    warehouse.connection.close()
    return path


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, history: Path) -> Iterator[Airflow]:
    project = Project(tmp_path_factory.mktemp("scheduler") / "project", SAAS_GROWTH_SCALE=str(SCALE), **PACE)
    # Retries as often as a run has steps: enough of them to outlast a run that is waited for.
    project.edit(
        "dags/saas_growth.py",
        '"retries": 5, "retry_delay": timedelta(seconds=30)',
        '"retries": 9, "retry_delay": timedelta(seconds=1)',
    )
    project.edit("plugins/growth/operators.py", "poke_interval=15", "poke_interval=5")
    use_copy(project, history)
    with server.only_one(Path(project.env["AIRFLOW_HOME"]) / "up.lock") as lock:
        airflow = Airflow(project, lock)
        with airflow.started():
            yield airflow


def use_copy(project: Project, history: Path) -> None:
    """A new warehouse for the project."""
    for suffix in ("-wal", "-shm"):
        project.warehouse.with_name(project.warehouse.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(history)) as old, closing(sqlite3.connect(project.warehouse)) as new:
        old.backup(new)


def differences(project: Project) -> list[str]:
    return [str(difference) for difference in verify(sqlite_place(project.warehouse), default_sql()).differences]


def landings(project: Project) -> dict[str, set[date]]:
    """The days that each run has landed."""
    found: dict[str, set[date]] = {}
    for day, run in project.ask("select batch_date, run_id from landings"):
        found.setdefault(run, set()).add(date.fromisoformat(day))
    return found


def turns(project: Project) -> list[str]:
    """The runs that have worked on the warehouse, a new entry wherever one follows another."""
    return [run for run, _ in groupby(run for (run,) in project.ask("select run_id from steps order by number"))]


# --- The ways to start a run, all at the same time


class Crowd:
    """Runs of every kind, started together and ended."""

    def __init__(self, airflow: Airflow) -> None:
        self.now = datetime.now(UTC)
        # Created while the DAG is paused, and then all released at once.
        self.not_begun = airflow.trigger(f"{days_ago(-1)}T00:00:00Z")
        self.manual = {
            "now": airflow.trigger(self.now.isoformat()),
            "an earlier day": airflow.trigger(f"{days_ago(9)}T15:00:00Z"),
            "no date": airflow.trigger(None),
        }
        airflow.backfill(days_ago(5), days_ago(4), "--max-active-runs", "2")
        for dag in (DAG_ID, VERIFY_ID):
            airflow.pause(False, dag)
        ((self.scheduled, _),) = wait_until(lambda: airflow.runs("scheduled").items(), words="the scheduled run")
        wait_until(lambda: airflow.runs("scheduled", VERIFY_ID), words="the verification")
        self.backfill = list(airflow.runs("backfill"))
        airflow.wait_for(self.scheduled, *self.manual.values(), *self.backfill)
        wait_until(lambda: ENDED & set(airflow.runs("scheduled", VERIFY_ID).values()), words="the verification")


@pytest.fixture(scope="module")
def crowd(airflow: Airflow) -> Crowd:
    return Crowd(airflow)


def test_a_run_lands_its_own_day_however_it_was_started(airflow, crowd):
    landed = landings(airflow.project)
    assert landed.pop(crowd.scheduled) == {YESTERDAY}
    assert landed.pop(crowd.manual["now"]) == {crowd.now.date()}
    assert landed.pop(crowd.manual["an earlier day"]) == {days_ago(9)}
    assert landed.pop(crowd.manual["no date"]) == {YESTERDAY}
    assert sorted(landed.pop(run) for run in crowd.backfill) == [{days_ago(n)} for n in (5, 4)]
    assert landed == {}


def test_the_run_of_a_day_that_has_not_begun_does_nothing_and_holds_up_nobody(airflow, crowd):
    assert airflow.state(crowd.not_begun) == "running"
    assert set(airflow.tasks(crowd.not_begun).values()) == {(None, 0)}
    airflow.fail(crowd.not_begun)


def test_all_other_runs_succeed_and_none_disturbs_another(airflow, crowd):
    runs = {crowd.scheduled, *crowd.manual.values(), *crowd.backfill}
    assert {airflow.state(run) for run in runs} == {"success"}
    assert sorted(turns(airflow.project)) == sorted(runs), "runs took turns before they had ended"
    ((seconds,),) = airflow.project.metadata(
        "select 86400 * (max(julianday(end_date)) - min(julianday(start_date))) from task_instance"
        " where run_id = ? and task_id <> 'claim'",
        crowd.manual["now"],
    )
    print(f"a daily run took {seconds:.1f} s among others")


def test_the_as_of_day_never_goes_back(airflow, crowd):
    days = [day for (day,) in airflow.project.ask("select as_of_date from as_of_days order by number")]
    assert days == sorted(days)
    assert airflow.project.ask(DAYS) == [(f"{crowd.now.date()}",) * 2]


def test_their_tables_are_those_of_a_rebuild(airflow, crowd):
    assert differences(airflow.project) == []
    # The weekly verification finds its moment among the other runs, and says the same.
    assert list(airflow.runs("scheduled", VERIFY_ID).values()) == ["success"]


# --- Tasks of ended runs, cleared


def test_cleared_tasks_of_ended_runs_leave_the_same_tables(airflow, crowd):
    alone, with_downstream = crowd.backfill[0], crowd.manual["an earlier day"]
    as_of = airflow.project.ask(DAYS)

    airflow.clear(alone, "stg_events")
    airflow.wait_for(alone)
    # The warehouse is now held by a run that has ended, and its batch is in scope.
    airflow.clear(with_downstream, "stg_events", downstream=True)
    airflow.wait_for(with_downstream)

    assert (airflow.state(alone), airflow.state(with_downstream)) == ("success", "success")
    assert airflow.tasks(alone)["stg_events"] == ("success", 2)
    assert airflow.tasks(alone)["publish"] == ("success", 1)
    assert airflow.tasks(with_downstream)["publish"] == ("success", 2)
    assert differences(airflow.project) == []
    assert airflow.project.ask(DAYS) == as_of
    assert airflow.project.ask(LEASE) == []


# --- Kills


def braked(airflow: Airflow, task: str) -> tuple[str, int]:
    """Wait until a task hangs in the middle of its transaction; gives its run and its process."""
    project = airflow.project
    seen = 0

    def hangs() -> bool:
        nonlocal seen
        with closing(sqlite3.connect(project.warehouse, timeout=0)) as connection:
            try:
                connection.execute("begin immediate")
            except sqlite3.OperationalError:
                seen += 1
            else:
                seen = 0
        return seen > 5 and bool(running())

    def running() -> list[tuple[str, int]]:
        return project.metadata("select run_id, pid from task_instance where task_id = ? and state = 'running'", task)

    wait_until(hangs, words=f"{task} to hang")
    ((run, pid),) = running()
    return run, pid


def brake(airflow: Airflow, *tasks: str) -> None:
    airflow.project.tell(*(f"insert into brakes values ('{task}')" for task in tasks))


def release(airflow: Airflow, task: str) -> None:
    airflow.project.tell(f"delete from brakes where task_id = '{task}'")


EACH_KIND = ("generate", "stg_events", "int_user_engagement", "fct_acquisition_funnel", "check_marts", "publish")


@pytest.fixture(scope="module")
def troubled(airflow: Airflow, crowd: Crowd, history: Path) -> dict[str, str]:
    """A backfill of four days, backwards, in which runs are killed in every way; gives what became of some of them.

    It comes after the crowd, so that no scheduled run is left to begin.
    """
    project = airflow.project
    use_copy(project, history)
    project.tell(f"insert into work_lease (only, dag_id, run_id) values (1, '{DAG_ID}', 'of another Airflow')")
    brake(airflow, *EACH_KIND, "publish committed")
    airflow.pause(True)
    airflow.forget_backfills()
    airflow.backfill(days_ago(13), days_ago(10), "--run-backwards", "--max-active-runs", "4")
    airflow.pause(False)
    runs = {}

    for task in EACH_KIND:
        runs["killed"], pid = braked(airflow, task)
        if task == "generate":
            # While it alone is at work: others of its run would wait for the braked one, and no longer than a minute.
            wait_until(lambda: claims(airflow).count("up_for_reschedule") >= 3, words="runs that wait")
        os.kill(pid, signal.SIGKILL)
        release(airflow, task)
    _, pid = braked(airflow, "publish")
    os.kill(pid, signal.SIGKILL)
    release(airflow, "publish committed")

    brake(airflow, "check_marts")
    runs["failed"], _ = braked(airflow, "check_marts")
    airflow.fail(runs["failed"])
    release(airflow, "check_marts")

    brake(airflow, "int_funnel_steps")
    runs["deleted"], _ = braked(airflow, "int_funnel_steps")
    # The failed run comes back while another holds the warehouse.
    airflow.clear(runs["failed"])
    # While the DAG is paused, no other run takes over before this one is deleted.
    airflow.pause(True)
    airflow.fail(runs["deleted"])
    release(airflow, "int_funnel_steps")
    airflow.delete(runs["deleted"])
    airflow.pause(False)

    wait_until(lambda: set(airflow.runs("backfill").values()) <= ENDED, 1200, "the end of all runs")
    return runs


def claims(airflow: Airflow) -> list[str]:
    """The states of the claims of all runs that work or wait."""
    return [
        state
        for (state,) in airflow.project.metadata(
            "select state from task_instance where task_id = 'claim' and state <> 'success'"
        )
    ]


@pytest.mark.prove
def test_tasks_killed_in_the_middle_are_tried_again(airflow, troubled):
    tasks = airflow.tasks(troubled["killed"])
    assert airflow.state(troubled["killed"]) == "success"
    assert {state for state, _ in tasks.values()} == {"success"}
    # The second time publish had committed, and only could not say so.
    assert {task: tasks[task][1] for task in EACH_KIND} == {**dict.fromkeys(EACH_KIND, 2), "publish": 3}
    assert "This run has published already." in airflow.log(troubled["killed"], "publish")


@pytest.mark.prove
def test_another_run_takes_over_from_one_that_failed_or_is_gone(airflow, troubled):
    landed = set().union(*landings(airflow.project).values())
    assert landed == {days_ago(n) for n in range(10, 14)}
    assert troubled["deleted"] not in airflow.runs("backfill")
    assert set(airflow.runs("backfill").values()) == {"success"}, "the failed run, too: it was cleared"


@pytest.mark.prove
def test_whatever_happened_the_tables_are_those_of_a_rebuild(airflow, troubled):
    assert differences(airflow.project) == []
    assert airflow.project.ask(LEASE) == []


@pytest.mark.prove
def test_a_run_outlives_a_killed_scheduler(airflow):
    brake(airflow, "int_user_engagement")
    airflow.pause(False)
    airflow.trigger(f"{days_ago(8)}T00:00:00Z")
    run, _ = braked(airflow, "int_user_engagement")
    (scheduler,) = (p for p in psutil.Process(airflow.keeper.pid).children() if "scheduler" in p.cmdline())
    for process in (scheduler, *scheduler.children(recursive=True)):
        process.kill()
    assert airflow.keeper.wait(120) == 1
    release(airflow, "int_user_engagement")
    with airflow.started():
        airflow.wait_for(run)
    assert airflow.state(run) == "success"
    state, tries = airflow.tasks(run)["int_user_engagement"]
    assert state == "success"
    assert tries > 1
    assert differences(airflow.project) == []
