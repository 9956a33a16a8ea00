"""`make run` as a person meets it: what it prints, what it exits with, and what a second one does."""

from __future__ import annotations

import gzip
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

import psutil
import pytest
from worlds import Batches, Warehouse, changed_definitions, sqlite_place

from growth.commands import run
from growth.commands import summary as page
from growth.errors import UserError
from growth.language import definitions
from growth.language.sql import Sql
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


# --- What Airflow says, without Airflow


@pytest.fixture
def airflow_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, list[str]]]:
    """Runs the DAG with an Airflow that only speaks: gives what `make run` makes of it."""

    def act(words: str, status: int = 0) -> tuple[bool, list[str]]:
        (tmp_path / "said").write_text(words, encoding="utf-8")
        fake = tmp_path / "airflow"
        fake.write_text(f"#!/bin/sh\ncat '{tmp_path}/said'\nexit {status}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(run, "airflow_command", lambda: str(fake))
        with run._alone(tmp_path / "run.lock") as lock:
            day, log = date(2025, 1, 1), tmp_path / "run.log"
            ended = run._dags_test(tmp_path, dict(os.environ), "saas_growth", day, {}, log, lock)
            return not ended.failed_at("publish"), ended.sentences

    return act


def task(name: str) -> str:
    return f"2025 [DAG TEST] starting task_id={name} map_index=-1\nnoise\n2025 [DAG TEST] end task task_id={name} x\n"


def test_tasks_are_shown_and_the_log_is_not(airflow_says, capsys, tmp_path):
    published, sentences = airflow_says(task("generate") + "Traceback (most recent call last):\n" + task("publish"))

    assert (published, sentences) == (True, [])
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == ["generate", "publish"]
    assert "noise" in (tmp_path / "run.log").read_text()


def test_a_run_without_publish_is_no_success(airflow_says):
    assert airflow_says(task("generate")) == (False, [])
    assert airflow_says(task("generate") + task("publish"), status=1) == (False, [])


def test_a_day_before_the_dag_is_no_success(airflow_says):
    published, (sentence,) = airflow_says("nothing to do\n")

    assert not published
    assert sentence.startswith("Airflow found nothing to run on 2025-01-01: give dags/saas_growth.py an earlier")


def test_the_sentence_of_a_task_is_taken_from_its_error(airflow_says):
    said = (
        "Traceback (most recent call last):\n  File x\n"
        "airflow.sdk.exceptions.AirflowFailException: 1 of 9 checks failed (a__b): look.\n"
        "AirflowException: The warehouse is held by run x.\n"
    )

    assert airflow_says(task("claim") + said, status=1)[1] == [
        "1 of 9 checks failed (a__b): look.",
        "The warehouse is held by run x.",
    ]


def test_what_is_not_utf_8_in_the_log_stops_nothing(airflow_says, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: path.write_bytes(text.encode("latin-1")))

    assert airflow_says("é\n" + task("publish")) == (True, [])


def test_an_interrupted_run_is_one_sentence(monkeypatch, tmp_path):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "open_source", interrupted)
    monkeypatch.delenv("WAREHOUSE", raising=False)

    with pytest.raises(UserError, match=r"^The run was interrupted: run again, it goes on from there\.$"):
        run.run(tmp_path)


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

    def environment(self, **settings: str) -> dict[str, str]:
        base = {n: v for n, v in os.environ.items() if not n.startswith(("AIRFLOW", "SAAS_GROWTH"))}
        return base | {"PYTHONPATH": "plugins", "SAAS_GROWTH_SCALE": "0.2", **settings}

    def start(self, **settings: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "growth", "run"],
            cwd=self.root,
            env=self.environment(**settings),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, **settings: str) -> subprocess.CompletedProcess:
        process = self.start(**settings)
        try:
            out, err = process.communicate(timeout=180)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, query: str, file: str = "data/saas_funnel.db") -> list[tuple]:
        with closing(sqlite3.connect(f"{(self.root / file).as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()


def shown_page(out: str) -> str:
    return out[out.index(PAGE) :]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess]:
    """A project in which everything is new, and its first run."""
    project = Project(tmp_path_factory.mktemp("first") / "project")
    return project, project.run(DAY="2025-03-30")


@pytest.fixture(scope="module")
def second(first: tuple[Project, subprocess.CompletedProcess]) -> tuple[Project, subprocess.CompletedProcess]:
    project, _ = first
    return project, project.run(DAY="2025-03-31")


@pytest.mark.slow
def test_the_first_run_sets_everything_up_and_shows_the_numbers(first):
    project, done = first

    assert (done.returncode, done.stderr) == (0, "")
    before, shown = done.stdout.split(PAGE)
    assert "Running 2024-11-01 to 2025-03-30 of source synthetic (seed 1, scale 0.2):" in before
    assert re.search(r"Time: setup \d+\.\d s, Airflow with its tasks \d+\.\d s, of it \d+\.\d\d s in the SQL", before)
    assert [line.split()[0] for line in before.splitlines() if line.startswith("  ")][-1] == "publish"
    assert shown.startswith(" 2025-03-30\n")
    assert "0 failed" in shown
    assert "[info" not in done.stdout  # Airflow's log
    assert "task_id=publish" in (project.root / ".airflow/run.log").read_text()


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
    assert project.ask("select count(distinct run_id) from run_steps") == [(2,)]
    assert float(re.search(r"of it (\d+\.\d+) s in the SQL", done.stdout)[1]) < 2


@pytest.mark.slow
def test_the_same_day_gives_the_same_page_in_another_folder_at_once_or_day_by_day(second, tmp_path):
    project, done = second
    other = Project(tmp_path / "a folder with blanks", project.root / ".airflow")

    at_once = other.run(DAY="2025-03-31", WAREHOUSE="my data/growth.db")

    assert (at_once.returncode, at_once.stderr) == (0, "")
    named = shown_page(at_once.stdout).replace("'my data/growth.db'", "data/saas_funnel.db")
    assert named.replace("my data/growth.db", "data/saas_funnel.db") == shown_page(done.stdout)
    assert not (other.root / "data/saas_funnel.db").exists()


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
    before = project.ask("select * from dim_user_health order by user_id", "data/shop.db")
    assert len(before) == 30

    (project.root / "box/users.csv.gz").write_bytes(
        gzip.compress((good + "31,2012-05-02\n" + ",2012-05-02\n" * 20).encode())
    )
    failed = project.run(**shop)

    assert failed.returncode == 1
    check, log = failed.stderr.strip().split("\n\n")
    assert "1 of 19 checks failed (rejects__share_is_within_limit)" in re.sub(r"of \d+", "of 19", check)
    assert "nothing was published, and the published tables are unchanged" in check
    assert log == "The run failed; what Airflow and its tasks said is in .airflow/run.log."
    assert "Traceback" not in failed.stdout + failed.stderr
    assert PAGE not in failed.stdout
    assert "batch_date='2012-05-02'" in (project.root / ".airflow/run.log").read_text()
    assert project.ask("select * from dim_user_health order by user_id", "data/shop.db") == before
    assert project.ask("select published_date from run_state", "data/shop.db") == [("2012-05-01",)]


@pytest.mark.slow
def test_a_killed_run_is_finished_by_the_next_one(second):
    project, _ = second
    killed = project.start(DAY="2025-04-02")
    for line in killed.stdout:
        if line.strip().startswith("stg_events"):
            break
    airflow = psutil.Process(killed.pid).children(recursive=True)
    for process in airflow:
        process.suspend()  # it lives on, for as long as this test needs
    killed.kill()
    killed.wait(timeout=10)
    try:
        refused = project.run(DAY="2025-04-02")
    finally:
        for process in airflow:
            process.kill()
    psutil.wait_procs(airflow, timeout=10)
    killed.communicate(timeout=10)
    done = project.run(DAY="2025-04-02")

    assert refused.stderr == "Another `make run` is at work in this folder: let it end first.\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{PAGE} 2025-04-02" in done.stdout
    assert verify(sqlite_place(project.root / "data/saas_funnel.db"), Sql(definitions.load())).differences == []
