"""The DAG without a scheduler: what it consists of, which days a run is for, whose turn it is, and whole runs."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow_home import DAG_ID, Project
from worlds import Warehouse, default_sql, sqlite_place

from growth.days import Days, days_of_run
from growth.errors import UserError
from growth.language import tables
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse.scripts import Refused
from growth.warehouse.verify import verify

# --- What it consists of

PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
tasks = {
    t.task_id: {"doc": t.doc_md, "above": sorted(t.get_flat_relative_ids(upstream=True)), "retries": t.retries}
    for t in bag.dags["saas_growth"].tasks
}
found = {"errors": list(bag.import_errors.values()), "dags": sorted(bag.dags), "tasks": tasks}
print("FOUND" + json.dumps(found | {"pandas": "pandas" in sys.modules}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("dag") / "project")


@pytest.fixture(scope="module")
def parsed(project: Project) -> dict[str, Any]:
    """What a process finds that does nothing but parse the DAG files."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE], env=project.env, cwd=project.root, capture_output=True, text=True
    )
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND")) if not done.returncode else [""]
    assert line, done.stderr
    return json.loads(line.removeprefix("FOUND"))


def test_the_dag_files_import_quickly(parsed):
    assert parsed["errors"] == []
    assert DAG_ID in parsed["dags"]
    assert not parsed["pandas"], "parsing imports pandas, half a second for every task"


def test_each_table_has_a_task_with_its_name_and_its_description(parsed):
    checks = [f"check_{layer}" for layer in tables.LAYERS]
    described = default_sql().tables
    assert set(parsed["tasks"]) == {"claim", "generate", "publish", *checks, *described}
    for name, table in described.items():
        assert table.sentence in parsed["tasks"][name]["doc"]
        assert f"grain: {', '.join(table.grain)}" in parsed["tasks"][name]["doc"]


def test_each_layer_waits_for_the_checks_of_the_one_above(parsed):
    above = {task: set(found["above"]) for task, found in parsed["tasks"].items()}
    done = {"claim"}
    assert above["claim"] == set()
    for step in (
        ["generate"],
        ["int_id_links"],
        ["int_identities"],
        ["check_identity"],
        tables.tables_of("staging"),
        ["check_staging"],
        [t for t in tables.tables_of("intermediate") if t != "int_user_engagement_totals"],
    ):
        for task in step:
            assert above[task] == done, task
        done |= set(step)
    # Within a layer a table waits for those that it reads, not for the others.
    assert above["int_user_engagement_totals"] == done - set(tables.tables_of("intermediate")) | {"int_user_engagement"}
    for step in (["check_intermediate"], tables.tables_of("marts"), ["check_marts"], ["publish"]):
        done |= set(tables.tables_of("intermediate"))
        for task in step:
            assert above[task] == done, task
        done |= set(step)


def test_every_task_is_tried_again_after_a_kill(parsed):
    assert all(found["retries"] >= 1 for found in parsed["tasks"].values())


# --- Which days a run is for

NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("how", "logical_date", "run_after", "day"),
    [
        ("scheduled, after midnight of the 22nd", "2026-11-21T00:00Z", "2026-11-22T00:00Z", "2026-11-21"),
        ("a backfill", "2026-11-02T00:00Z", "2026-11-03T00:00Z", "2026-11-02"),
        ("a trigger with a date", "2026-11-10T00:00Z", "2026-11-22T17:30Z", "2026-11-10"),
        ("a trigger with a time", "2026-11-12T15:00Z", "2026-11-22T17:30Z", "2026-11-12"),
        ("a trigger with a time elsewhere", "2026-11-12T22:00-05:00", "2026-11-22T17:30Z", "2026-11-13"),
        ("airflow dags trigger --logical-date", "2026-11-09T00:00Z", "2026-11-22T17:30Z", "2026-11-09"),
        ("airflow dags test with a date", "2026-11-20T00:00Z", "2026-11-22T17:30Z", "2026-11-20"),
        ("airflow dags test, a trigger as the UI proposes it", "2026-11-22T17:30Z", "2026-11-22T17:30Z", "2026-11-22"),
        ("a trigger without a date", None, "2026-11-22T17:30Z", "2026-11-21"),
        ("the same, in the first hours of a day elsewhere", None, "2026-11-22T03:00+09:00", "2026-11-20"),
    ],
)
def test_the_day_of_a_run_is_that_of_its_logical_date(how, logical_date, run_after, day):
    logical = datetime.fromisoformat(logical_date) if logical_date else None
    expected = date.fromisoformat(day)
    assert days_of_run(logical, datetime.fromisoformat(run_after), now=NOW) == Days(expected, expected)


def test_from_date_stretches_a_run_backwards():
    day = datetime(2026, 11, 10, tzinfo=UTC)
    assert days_of_run(day, NOW, "2025-01-01", NOW) == Days(date(2025, 1, 1), day.date())
    assert days_of_run(day, NOW, "2026-11-10", NOW) == Days(day.date(), day.date())
    assert days_of_run(day, NOW, "", NOW) == Days(day.date(), day.date())
    assert days_of_run(None, NOW, "2026-11-01", NOW) == Days(date(2026, 11, 1), date(2026, 11, 21))


@pytest.mark.parametrize(
    ("logical_date", "from_date", "sentence"),
    [
        ("2026-11-23T00:00Z", None, "The day 2026-11-23 has not begun (it is 2026-11-22 in UTC)"),
        ("2026-11-10T00:00Z", "2026-11-11", "from_date is 2026-11-11, after the day of the run, 2026-11-10"),
        ("2026-11-10T00:00Z", "last week", "from_date is 'last week': give a date such as 2026-11-10"),
    ],
)
def test_days_that_cannot_be_run_are_refused(logical_date, from_date, sentence):
    with pytest.raises(UserError) as refusal:
        days_of_run(datetime.fromisoformat(logical_date), NOW, from_date, NOW)
    assert sentence in str(refusal.value)


# --- Whose turn it is


@pytest.fixture(scope="module")
def operators(project: Project) -> Any:
    """The operators, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in project.env.items():
            if name.startswith(("AIRFLOW", "SAAS_GROWTH")):
                patch.setenv(name, value)
        from growth import operators

        yield operators


class Runs:
    """Stands in for a task instance, which can ask Airflow about runs."""

    def __init__(self, **states: str) -> None:
        self.states = states

    def get_dr_count(self, dag_id: str, run_ids: list[str], states: list[str]) -> int:
        assert dag_id == DAG_ID
        return sum(self.states.get(run) in states for run in run_ids)


def context(run_id: str, **states: str) -> dict[str, Any]:
    run = SimpleNamespace(logical_date=NOW - timedelta(days=1), run_after=NOW)
    return {
        "dag": SimpleNamespace(dag_id=DAG_ID),
        "run_id": run_id,
        "ti": Runs(**states),
        "dag_run": run,
        "params": {},
    }


@pytest.fixture
def connection(warehouse) -> sqlite3.Connection:
    made = warehouse(Synthetic(scale=0.05))
    made.run(NOW.date())
    return made.connection


def holder(connection: sqlite3.Connection) -> str | None:
    return next((run for (run,) in connection.execute("select run_id from work_lease")), None)


def test_a_run_holds_the_warehouse_until_it_has_ended(operators, connection):
    operators.acquire_lease(connection, context("one"))
    assert holder(connection) == "one"
    operators.acquire_lease(connection, context("one", one="running"))
    with pytest.raises(Refused, match="held by run one of saas_growth"):
        operators.acquire_lease(connection, context("other", one="running", other="running"))
    assert holder(connection) == "one"


@pytest.mark.parametrize("state", ["success", "failed", "queued", "unknown to Airflow"])
def test_a_run_that_has_ended_loses_its_lease(operators, connection, state):
    operators.acquire_lease(connection, context("one"))
    states = {} if state == "unknown to Airflow" else {"one": state}
    operators.acquire_lease(connection, context("other", other="running", **states))
    assert holder(connection) == "other"


@pytest.mark.parametrize(("mine", "of_holder", "lock"), [(None, "make run", "run.lock"), ("make run", None, "up.lock")])
def test_a_run_that_was_stopped_in_the_middle_loses_its_lease(
    operators, connection, monkeypatch, tmp_path, mine, of_holder, lock
):
    """Airflow says forever that it is running, but no process holds the lock of make run, or of make up."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setattr(operators, "HELD_BY", mine)
    operators.acquire_lease(connection, context("one"))
    with connection:
        connection.execute("update work_lease set held_by = ?", (of_holder,))
    other = context("other", one="running", other="running")

    assert not operators.free_of_others(connection, other), "another Airflow, which keeps no locks here"
    with (tmp_path / lock).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not operators.free_of_others(connection, other)
    assert operators.free_of_others(connection, other)


def test_a_run_that_waits_writes_nothing(operators, connection, monkeypatch):
    operators.acquire_lease(connection, context("one"))
    monkeypatch.setattr(operators, "connect", lambda: sqlite3.connect(path_of(connection)))
    with closing(sqlite3.connect(path_of(connection))) as writer:
        writer.execute("begin immediate")
        started = datetime.now(UTC)
        assert operators.ClaimOperator(task_id="claim").poke(context("other", one="running")) is False
        assert datetime.now(UTC) - started < timedelta(seconds=2)


def path_of(connection: sqlite3.Connection) -> str:
    return connection.execute("pragma database_list").fetchone()[2]


def test_a_red_check_fails_at_once_and_a_busy_warehouse_is_tried_again(operators):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowFailException, match="mend it"), operators.for_people():
        raise UserError("mend it")
    with pytest.raises(AirflowException, match="held") as refusal, operators.for_people():
        raise Refused("held")
    assert not isinstance(refusal.value, AirflowFailException)


# --- Whole runs, in one process each

DAY = datetime.now(UTC).date() - timedelta(days=1)
FIRST_DAY = DAY - timedelta(days=20)


class WholeRun:
    """A run of FIRST_DAY to DAY with `airflow dags test`."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.before = people_read(project)
        conf = json.dumps({"from_date": FIRST_DAY.isoformat()})
        self.process = project.command("dags", "test", DAG_ID, DAY.isoformat(), "--conf", conf)

    def end(self) -> WholeRun:
        self.output, _ = self.process.communicate(timeout=180)
        query = "select task_id, state, try_number from task_instance"
        self.tasks = {task: (state, tries) for task, state, tries in self.project.metadata(query)}
        return self


def people_read(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    return {m.name: project.ask(f"select * from {m.name}") for m in default_sql().marts}


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory: pytest.TempPathFactory, project: Project) -> dict[str, WholeRun]:
    """The same run twice, the second time with a check of the marts that nothing can pass."""
    strict = Project(tmp_path_factory.mktemp("strict") / "project")
    check = strict.root / "include/sql/marts/dim_user_health/checks/knows_nobody.sql"
    check.write_text("-- No user is known.\nselect user_id from {{ next_rows('dim_user_health') }} as n\n")
    for each in (project, strict):
        warehouse = Warehouse(each.warehouse, Synthetic(scale=0.05))
        warehouse.run(FIRST_DAY - timedelta(days=40), FIRST_DAY - timedelta(days=1))
        warehouse.connection.close()
    runs = {"sound": WholeRun(project), "red": WholeRun(strict)}
    return {name: run.end() for name, run in runs.items()}


@pytest.mark.slow
def test_a_whole_run_publishes_what_a_rebuild_gives(whole_runs):
    run = whole_runs["sound"]
    assert run.process.returncode == 0, run.output
    assert set(run.tasks.values()) == {("success", 1)}
    assert run.project.ask("select published_date from run_state") == [(DAY.isoformat(),)]
    assert people_read(run.project) != run.before
    assert verify(sqlite_place(run.project.warehouse), default_sql()).differences == []


@pytest.mark.slow
def test_a_red_check_ends_the_run_and_leaves_what_people_read(whole_runs):
    run = whole_runs["red"]
    assert run.process.returncode == 1, run.output
    assert run.tasks["dim_user_health"] == ("success", 1)
    assert run.tasks["check_marts"] == ("failed", 1), "it is not tried again"
    assert run.tasks["publish"] == ("upstream_failed", 0)
    assert "dim_user_health__knows_nobody: No user is known." in run.output
    assert people_read(run.project) == run.before
    assert run.project.ask("select published_date from run_state") == [((FIRST_DAY - timedelta(days=1)).isoformat(),)]
