"""`make run` as a person meets it: what it prints, what it exits with, and what a second one does."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import psutil
import pytest
from worlds import Batches, Warehouse, changed_definitions, sqlite_place

from growth.commands import summary as page
from growth.language import definitions
from growth.language.sql import Sql
from growth.local_airflow import dag_run
from growth.local_airflow.dag_run import DagRun, Reports, run_dag, run_lock
from growth.sources.mapped.files import Files
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse.verify import verify

HOME = Path(__file__).parents[1]
PAGE = "saas_growth as of"


# --- The page


def printed(capsys: pytest.CaptureFixture, warehouse: Warehouse, words: definitions.Definitions | None = None) -> str:
    capsys.readouterr()
    page.print_summary(
        warehouse.connection, words or definitions.load(), sqlite_place("/root/data/saas_funnel.db"), Path("/root")
    )
    return capsys.readouterr().out


def section(text: str, title: str) -> list[str]:
    """The lines below a title, up to the next empty one."""
    return text.split(f"\n{title}\n", 1)[1].split("\n\n", 1)[0].splitlines()


@pytest.fixture(scope="module")
def half_a_year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    made = Warehouse(tmp_path_factory.mktemp("page") / "w.db", Synthetic(scale=1))
    made.run(date(2024, 11, 1), date(2025, 5, 10))
    yield made
    made.connection.close()


def test_the_page_shows_the_numbers_of_the_marts(capsys, half_a_year):
    lines = section(printed(capsys, half_a_year), "Funnel by cohort month")
    ((month, visitors, signups, rate),) = half_a_year.query(
        "select cohort_month, visitors, signups, visit_to_signup_rate from fct_acquisition_funnel"
        " where cohort_month = '2024-12-01'"
    )

    (row,) = [line for line in lines if line.startswith("2024-12")]
    assert row.split()[:3] == [month[:7], f"{visitors:,}", f"{signups:,}"]
    assert f"{100 * rate:.1f} %" in row
    assert [line[:7] for line in lines[3:9]] == [f"{m}" for m in ("2024-12", *(f"2025-0{n}" for n in range(1, 6)))]


def test_headers_stand_whole_and_break_between_words(capsys, half_a_year):
    upper, lower, *_ = section(printed(capsys, half_a_year), "Funnel by cohort month")

    assert lower.split() == ["cohort", "visitors", "signups", "activated", "paid", "signup", "activation", "to", "paid"]
    assert upper.split() == ["visit", "to", "signup", "to", "activation"]
    assert "…" not in upper + lower


def test_a_page_fits_100_columns_and_its_columns_stand_below_each_other(capsys, half_a_year):
    text = printed(capsys, half_a_year)

    assert max(map(len, text.splitlines())) <= 100
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert text.isascii()  # whatever the terminal's encoding
    for title in ("Funnel by cohort month", "Retention: active in the Nth month after the signup", "Health of users"):
        lines = [line for line in section(text, title) if not line.startswith("*")]
        (rule,) = [line for line in lines if set(line) == {"-"}]
        rows = lines[lines.index(rule) + 1 :]
        decimals = [[m.start() for m in re.finditer(r"\.\d", row)] for row in rows]
        longest = max(decimals, key=len)
        assert longest
        assert all(set(places) <= set(longest) for places in decimals), f"{title}: {decimals}"
        assert all(len(line) <= len(rule) for line in lines)


def test_a_star_is_explained_where_one_stands_and_only_there(capsys, half_a_year, warehouse):
    title = "Retention: active in the Nth month after the signup"
    shown = printed(capsys, half_a_year)
    assert section(shown, "Funnel by cohort month")[-1] == "* people of this cohort can still convert"
    assert section(shown, title)[-1] == "* the month is not over"

    whole = warehouse(Batches({date(2025, 1, 3): {"raw_users": [{"user_id": "ann", "signup_date": "2025-01-02"}]}}))
    whole.run(date(2025, 1, 3), date(2025, 1, 31))
    assert "*" not in "".join(section(printed(capsys, whole), title))
    assert page.table(["cohort", "n"], [["2025-01", "1"]], "* a note")[-1] == "2025-01   1"


def test_headers_and_numbers_of_a_table_are_aligned():
    rows = [["2025-01 *", "1,234", "100.0 %", ""], ["2025-02", "7", "3.2 % *", "12.0 %"]]

    assert page.table(["cohort", "people who came", "month 0", "went"], rows, "* not over") == [
        "              people",
        "cohort      who came   month 0       went",
        "-----------------------------------------",
        "2025-01 *      1,234   100.0 %",
        "2025-02            7     3.2 % *   12.0 %",
        "* not over",
    ]


def test_an_empty_warehouse_has_a_page(capsys, warehouse):
    empty = warehouse(Batches({date(2025, 1, 3): {}}))
    empty.run(date(2025, 1, 3))

    text = printed(capsys, empty)

    assert f"{PAGE} 2025-01-03" in text
    assert "Rows: 0 landed, 0 rejected" in text


def test_a_funnel_of_many_steps_goes_on_below(capsys, warehouse):
    shipped = changed_definitions().funnel.model_dump()
    more = [
        {
            "name": f"step_{n}",
            "sentence": "One more.",
            "people": f"people_of_step_{n}",
            "noun": f"noun_of_{n}",
            "any_of": ["activated"],
        }
        for n in range(4)
    ]
    words = changed_definitions(funnel=shipped | {"steps": shipped["steps"] + more})
    many = warehouse(Batches({date(2025, 1, 3): {"raw_users": [{"user_id": "a", "signup_date": "2025-01-02"}]}}))
    many.sql = Sql(words)
    many.run(date(2025, 1, 3))

    text = printed(capsys, many, words)

    assert max(map(len, text.splitlines())) <= 100
    for n in range(4):
        assert f"people of step {n}" in text.replace("_", " ") or f"step {n}" in text
    assert text.count("cohort  ") > 3


def test_a_path_with_a_blank_or_brackets_can_be_copied(capsys, half_a_year):
    page.print_summary(
        half_a_year.connection, definitions.load(), sqlite_place("/my [old] files/it's.db"), Path("/root")
    )

    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  sqlite3"))
    script = f"printf '%s\\n' {command.strip()}"
    given = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10)
    assert given.stdout.splitlines()[:2] == ["sqlite3", "/my [old] files/it's.db"]


# --- What the run's process reports, without Airflow

Report = dict[str, Any]


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DagRun]:
    """Runs the DAG in a process that only sends reports and writes a log: gives what `make run` makes of it."""

    def act(*reports: Report, end: str = "exit 0") -> DagRun:
        (tmp_path / "reports").write_text("".join(json.dumps(report) + "\n" for report in reports), encoding="utf-8")
        fake = tmp_path / "python"
        fake.write_text(
            f"#!/bin/bash\nprintf 'noise \\xe9 in the log\\n'\ncat '{tmp_path}/reports' >&\"${{@: -1}}\"\n{end}\n"
        )
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        with run_lock(tmp_path / "run.lock") as lock:
            return run_dag(tmp_path, dict(os.environ), "saas_growth", date(2025, 1, 1), {}, tmp_path / "run.log", lock)

    return act


def began(task: str) -> Report:
    return {"event": "task began", "task": task}


def ended(task: str, state: str = "success", error: str | None = None) -> Report:
    return {"event": "task ended", "task": task, "state": state, "seconds": 1.25, "error": error, "result": None}


def run_ended(state: str) -> Report:
    return {"event": "run ended", "state": state}


def test_tasks_are_shown_with_their_seconds_and_the_log_is_not(reported, capsys, tmp_path):
    done = reported(began("generate"), ended("generate"), began("publish"), ended("publish"), run_ended("success"))

    assert (done.succeeded, done.errors) == (True, [])
    start, *tasks = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"  Airflow started in \d+\.\d s", start)
    assert [line.split() for line in tasks] == [["generate", "1.2", "s"], ["publish", "1.2", "s"]]
    assert b"noise \xe9" in (tmp_path / "run.log").read_bytes()


@pytest.mark.parametrize(
    ("reports", "end"),
    [
        ([run_ended("failed")], "exit 1"),
        ([run_ended("success")], "exit 1"),
        ([], "exit 0"),
    ],
)
def test_a_run_is_a_success_only_if_airflow_says_so_and_ends_well(reported, reports, end):
    assert not reported(began("publish"), ended("publish"), *reports, end=end).succeeded


def test_a_process_that_is_killed_is_one_sentence(reported):
    done = reported(began("publish"), end="kill -9 $$")

    assert not done.succeeded
    assert done.errors == ["Airflow was stopped from outside (signal 9): run again, it goes on from there."]


def test_a_day_before_the_dag_is_no_success(reported):
    done = reported(run_ended("success"))

    assert not done.succeeded
    assert done.errors == [
        "Airflow found nothing to run on 2025-01-01: give dags/saas_growth.py an earlier start_date."
    ]


def test_what_a_task_fails_with_is_told_at_the_end_and_what_is_tried_again_at_once(reported, capsys):
    done = reported(
        began("claim"),
        ended("claim", "up_for_retry", "The warehouse is locked."),
        began("claim"),
        ended("claim"),
        # A task whose statement cannot be rendered has not begun.
        ended("publish", "failed", "1 of 9 checks failed (a__b): look."),
        run_ended("failed"),
        end="exit 1",
    )

    assert (done.succeeded, done.errors) == (False, ["1 of 9 checks failed (a__b): look."])
    assert [line.split("s  ")[-1] for line in capsys.readouterr().out.splitlines()[1::2]] == [
        "is tried again: The warehouse is locked.",
        "failed",
    ]


def test_a_run_that_waits_for_another_says_so_once(reported, capsys):
    reported(began("claim"), began("claim"), began("claim"), ended("claim"), run_ended("success"))

    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["claim", "waits;"],
        ["claim", "1.2"],
    ]


def test_an_interrupt_ends_the_process_of_the_run(reported, tmp_path):
    # A process that was started in the background ignores this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            reported(began("claim"), end=f"echo $$ > '{tmp_path}/pid'; kill -INT $PPID; exec sleep 60")
    finally:
        signal.signal(signal.SIGINT, before)

    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_listener_reports_what_airflow_tells_it():
    """The hooks are called as Airflow's task runner calls them, with its own states."""
    from airflow.sdk.api.datamodels._generated import TaskInstanceState
    from airflow.sdk.exceptions import AirflowFailException
    from airflow.sdk.listener import ListenerManager, taskinstance

    manager = ListenerManager()
    manager.add_hookspecs(taskinstance)

    def hook(name: str, state: TaskInstanceState | None, **more: Any) -> None:
        instance = SimpleNamespace(task_id="claim", state=state, xcom_pull=lambda task_ids: {"rows": 3})
        getattr(manager.hook, name)(previous_state=None, task_instance=instance, **more)

    reader, writer = os.pipe()
    manager.add_listener(dag_run._listener(Reports(writer)))
    hook("on_task_instance_running", TaskInstanceState.RUNNING)
    hook("on_task_instance_failed", TaskInstanceState.UP_FOR_RETRY, error=KeyError("x"))
    hook("on_task_instance_failed", TaskInstanceState.FAILED, error=AirflowFailException("Look there.\nMore"))
    hook("on_task_instance_failed", TaskInstanceState.FAILED, error=None)
    hook("on_task_instance_success", TaskInstanceState.SUCCESS)
    os.close(writer)
    with open(reader) as reports:
        told = [json.loads(line) for line in reports]

    assert [report.pop("event") for report in told] == ["task began", *["task ended"] * 4]
    assert {report.pop("task") for report in told} == {"claim"}
    assert all(0 <= report.pop("seconds") < 5 for report in told[1:])
    assert told[1:] == [
        {"state": "up_for_retry", "error": "KeyError: 'x'", "result": None},
        {"state": "failed", "error": "Look there.", "result": None},
        {"state": "failed", "error": "The task failed without an error.", "result": None},
        {"state": "success", "error": None, "result": {"rows": 3}},
    ]


def test_a_report_that_nobody_reads_any_more_does_not_stop_the_run():
    reader, writer = os.pipe()
    os.close(reader)

    Reports(writer).send("run ended", state="success")

    os.close(writer)


# --- Whole runs


class Project:
    """A copy of the project in which commands are run."""

    def __init__(self, root: Path, airflow_home: Path | None = None) -> None:
        self.root = root
        for folder in ("dags", "include", "plugins"):
            shutil.copytree(HOME / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        if airflow_home:
            # Airflow's own database, so that it is not made for each copy.
            (root / ".airflow").mkdir()
            for name in ("airflow.cfg", "airflow.db", "airflow.db.version"):
                shutil.copy(airflow_home / name, root / ".airflow")

    def start(self, *options: str, command: str = "run", cwd: Path | None = None, **settings: str) -> subprocess.Popen:
        base = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "SAAS_GROWTH"))}
        return subprocess.Popen(
            [sys.executable, "-m", "growth", command, *options],
            cwd=cwd or self.root,
            env={**base, "PYTHONPATH": str(self.root / "plugins"), "SAAS_GROWTH_SCALE": "0.2", **settings},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *options: str, **settings: Any) -> subprocess.CompletedProcess:
        process = self.start(*options, **settings)
        try:
            out, err = process.communicate(timeout=180)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, query: str, *parameters: str, file: str = "data/saas_funnel.db") -> list[tuple]:
        with closing(sqlite3.connect(f"{(self.root / file).as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, parameters).fetchall()


def shown_page(out: str) -> str:
    return out[out.index(PAGE) :]


class Killed(NamedTuple):
    """What a run printed until it was killed, and what became of another one while its Airflow lived on."""

    project: Project
    out: str
    refused: subprocess.CompletedProcess


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """The first run in a project in which everything is new, in a folder with blanks; killed half way."""
    project = Project(tmp_path_factory.mktemp("first") / "a project")
    process = project.start(DAY="2025-03-30")
    out = ""
    for line in process.stdout:
        out += line
        if line.strip().startswith("stg_events"):
            break
    airflow = psutil.Process(process.pid).children(recursive=True)
    for each in airflow:
        each.suspend()  # it lives on, for as long as this test needs
    process.kill()
    process.wait(timeout=10)
    try:
        refused = project.run(DAY="2025-03-30")
    finally:
        for each in airflow:
            each.kill()
    psutil.wait_procs(airflow, timeout=10)
    process.communicate(timeout=10)
    return Killed(project, out, refused)


@pytest.fixture(scope="module")
def first(killed: Killed) -> tuple[Project, subprocess.CompletedProcess]:
    """The run that finishes it."""
    return killed.project, killed.project.run(DAY="2025-03-30")


@pytest.fixture(scope="module")
def second(
    first: tuple[Project, subprocess.CompletedProcess], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, subprocess.CompletedProcess]:
    """The next day, by options instead of variables, and from another folder."""
    project, _ = first
    return project, project.run("--day", "2025-03-31", "--scale", "0.2", cwd=tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.slow
def test_the_first_run_prepares_airflow_and_covers_all_days_of_the_source(killed):
    assert "Preparing Airflow's own database, once ...\n" in killed.out
    assert "Running 2024-11-01 to 2025-03-30 of source synthetic (seed 1, scale 0.2):\n" in killed.out


@pytest.mark.slow
def test_no_run_starts_while_the_airflow_of_a_killed_one_lives(killed):
    assert killed.refused.returncode == 1
    assert killed.refused.stderr == "Another `make run` is at work in this folder: let it end first.\n"


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next_one(first):
    project, done = first

    assert (done.returncode, done.stderr) == (0, "")
    assert f"{PAGE} 2025-03-30" in done.stdout
    assert verify(sqlite_place(project.root / "data/saas_funnel.db"), Sql(definitions.load())).differences == []


@pytest.mark.slow
def test_a_run_shows_its_tasks_where_the_time_went_and_the_numbers(first):
    project, done = first

    before, shown = done.stdout.split(PAGE)
    assert re.search(
        r"\nTime: setup \d+\.\d s, Airflow's start \d+\.\d s, tasks \d+\.\d s, of it \d+\.\d\d s in the SQL", before
    )
    start, claim, *_, last = [line for line in before.splitlines() if line.startswith("  ")]
    assert re.fullmatch(r"  Airflow started in \d+\.\d s", start)
    assert last.split()[0] == "publish"
    # Airflow's start, which takes longer than any task, is no part of the first one.
    assert float(re.search(r"([\d.]+) s", claim)[1]) < float(re.search(r"([\d.]+) s", start)[1]) / 2
    assert shown.startswith(" 2025-03-30\n")
    assert "0 failed" in shown
    assert "[info" not in done.stdout  # Airflow's log
    assert "publish" in (project.root / ".airflow/run.log").read_text()


@pytest.mark.slow
def test_the_second_run_lands_and_computes_only_what_is_new(second):
    project, done = second

    assert (done.returncode, done.stderr) == (0, "")
    assert "Running 2025-03-31:" in done.stdout
    ((new_events, all_events),) = project.ask("select sum(batch_date = '2025-03-31'), count(*) from stg_events")
    work = dict(
        project.ask(
            "select task_id, rows_removed + rows_written from run_steps"
            " where run_id = (select published_run_id from run_state)"
        )
    )
    assert 0 < new_events < all_events / 50
    assert work["stg_events"] == new_events
    assert float(re.search(r"of it (\d+\.\d+) s in the SQL", done.stdout)[1]) < 2


@pytest.mark.slow
def test_the_same_day_gives_the_same_page_at_once_without_airflow_and_from_any_folder(second, capsys, tmp_path):
    project, done = second
    at_once = Warehouse(tmp_path / "w.db", Synthetic(scale=0.2))
    at_once.run(at_once.source.first_day, date(2025, 3, 31))
    capsys.readouterr()
    page.print_summary(
        at_once.connection, definitions.load(), sqlite_place(project.root / "data/saas_funnel.db"), tmp_path
    )
    at_once.connection.close()

    assert shown_page(capsys.readouterr().out) == shown_page(done.stdout)


@pytest.mark.slow
def test_an_erasure_tells_what_it_erased_and_its_log_who_asked(second):
    project, _ = second
    ((user, rows),) = project.ask(
        "select user_id, count(*) + (select count(*) from raw_events as e where e.user_id = u.user_id)"
        " + (select count(*) from raw_subscriptions as s where s.user_id = u.user_id)"
        " from raw_users as u where not exists (select 1 from raw_links as l where l.user_id = u.user_id)"
        " group by user_id order by user_id limit 1"
    )

    done = project.run("--user", user, "--by", 'the "officer"', "--why", "request $17, #2", command="erase")

    assert (done.returncode, done.stderr) == (0, "")
    _, claim, erase, told = done.stdout.splitlines()
    assert (claim.split()[0], erase.split()[0]) == ("claim", "erase")
    assert told == f"Erased people: 1, their ids: 1, raw rows: {rows}."
    assert 'Asked for by the "officer": request $17, #2' in (project.root / ".airflow/erase.log").read_text()
    assert project.ask("select count(*) from raw_users where user_id = ?", user) == [(0,)]


@pytest.mark.slow
def test_a_dag_that_does_not_import_is_one_sentence(second, tmp_path):
    project = Project(tmp_path / "project", second[0].root / ".airflow")
    (project.root / "dags/saas_growth.py").write_text("from airflow.sdk import DAG, no_such_name\n")

    failed = project.run(DAY="2025-01-01", FROM="2025-01-01")

    assert failed.returncode == 1
    sentence, log = failed.stderr.strip().split("\n\n")
    assert sentence.startswith(f"{project.root}/dags/saas_growth.py does not import: ImportError: cannot import name")
    assert log == "The run failed; the output of Airflow and its tasks is in .airflow/run.log."


SHOP = """
files:
  - pattern: users.csv.gz
    arrival: created
    dates: {created: iso}
    feeds: [{table: raw_users, columns: {user_id: id, signup_date: {day: created}}}]
"""


@pytest.mark.slow
def test_a_red_check_is_one_sentence_with_the_log_and_leaves_what_people_read(second, tmp_path):
    """By files of one's own, older than this project: after a first load, a delivery that is mostly broken."""
    project = Project(tmp_path / "project", second[0].root / ".airflow")
    (project.root / "include/sources/shop.yaml").write_text(SHOP)
    (project.root / "box").mkdir()
    good = "id,created\n" + "".join(f"{n},2012-05-01\n" for n in range(1, 31))
    shop = {"SAAS_GROWTH_SOURCE": "shop", "SAAS_GROWTH_SOURCE_PATH": "box"}
    (project.root / "box/users.csv.gz").write_bytes(gzip.compress(good.encode()))
    (project.root / "data").mkdir()
    source = Files(project.root / "include/sources/shop.yaml", project.root / "box")
    loaded = Warehouse(project.root / "data/shop.db", source)
    loaded.run(source.first_day, source.last_day)
    loaded.connection.close()
    before = project.ask("select * from dim_user_health order by user_id", file="data/shop.db")
    assert len(before) == 30

    (project.root / "box/users.csv.gz").write_bytes(
        gzip.compress((good + "31,2012-05-02\n" + ",2012-05-02\n" * 20).encode())
    )
    failed = project.run(**shop)

    assert failed.returncode == 1
    check, log = failed.stderr.strip().split("\n\n")
    assert "1 of 19 checks failed (rejects__share_is_within_limit)" in re.sub(r"of \d+", "of 19", check)
    assert "nothing was published, and the published tables are unchanged" in check
    assert log == "The run failed; the output of Airflow and its tasks is in .airflow/run.log."
    assert "Traceback" not in failed.stdout + failed.stderr
    assert PAGE not in failed.stdout
    assert "batch_date='2012-05-02'" in (project.root / ".airflow/run.log").read_text()
    assert project.ask("select * from dim_user_health order by user_id", file="data/shop.db") == before
    assert project.ask("select published_date from run_state", file="data/shop.db") == [("2012-05-01",)]
