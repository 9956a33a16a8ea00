"""What a person gets wrong: one sentence that names it and says what to do, and nothing that was there is touched."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from worlds import Batches, Warehouse, sqlite_place

from growth import __main__ as command_line
from growth.commands import run
from growth.days import Days, days_of_run
from growth.errors import UserError
from growth.language import definitions
from growth.sources import open_source
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse.scripts import connecting, plain_errors

SCALE = "0.05"
FIRST, LAST = date(2024, 11, 1), date(2024, 11, 20)
TODAY = datetime.now(UTC).date()


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with three weeks of the synthetic source, to be copied."""
    warehouse = Warehouse(tmp_path_factory.mktemp("loaded") / "saas_funnel.db", Synthetic(scale=float(SCALE)))
    warehouse.run(FIRST, LAST)
    warehouse.connection.close()
    return warehouse.path


@pytest.fixture
def project(tmp_path: Path, loaded: Path) -> Path:
    """A folder with a warehouse that has been loaded."""
    root = tmp_path / "a project"
    (root / "data").mkdir(parents=True)
    shutil.copy(loaded, root / "data")
    return root


@pytest.fixture
def make_run(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Answer]:
    """`make run` up to the moment at which it starts Airflow, which fails the test."""

    def no_airflow(*_: object) -> None:
        raise AssertionError("Airflow was started: nothing was refused")

    def prepared(root: Path, environment: dict[str, str]) -> None:
        Path(environment["AIRFLOW_HOME"]).mkdir(exist_ok=True)

    def call(**environment: str) -> Answer:
        for name in [n for n in os.environ if n.startswith(("SAAS_GROWTH", "AIRFLOW"))]:
            monkeypatch.delenv(name)
        for name, value in {"SAAS_GROWTH_SCALE": SCALE, "DAY": "", "FROM": "", "WAREHOUSE": "", **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(project)
        monkeypatch.setattr(command_line, "ROOT", project)
        monkeypatch.setattr(run, "run_dag", no_airflow)
        monkeypatch.setattr(run, "prepare_airflow", prepared)
        status = command_line.main(["run"])
        return Answer(status, *capsys.readouterr())

    return call


def refusal(answer: Answer) -> str:
    """The one sentence of a command that was refused."""
    assert answer.status == 1
    assert "Traceback" not in answer.err
    assert "Running" not in answer.out
    return one_sentence(answer.err.removesuffix("\n"))


def one_sentence(said: str) -> str:
    assert len(said.splitlines()) == 1
    assert said.endswith(".")
    return said


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but for Airflow's."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".airflow" not in path.parts
    }


# --- What is asked for


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"DAY": "0001-01-01"}, ["DAY=0001-01-01 lies before 2000-01-01", "give a later date"]),
        ({"FROM": "1999-12-31"}, ["FROM=1999-12-31 lies before 2000-01-01", "give a later date"]),
        (
            {"DAY": str(TODAY + timedelta(days=2))},
            [f"DAY={TODAY + timedelta(days=2)} has not begun", f"it is {TODAY}", "give a day that has"],
        ),
        ({"DAY": "9999-12-31"}, ["DAY=9999-12-31 has not begun"]),
        (
            {"DAY": "2024-11-20", "FROM": "2024-11-21"},
            ["FROM=2024-11-21 lies after the last day, 2024-11-20", "give an earlier FROM or a later DAY"],
        ),
        ({"FROM": str(TODAY + timedelta(days=3))}, ["FROM=", "lies after the last day"]),
        (
            {"DAY": "2024-10-31", "WAREHOUSE": "data/new.db"},
            ["source synthetic (seed 1, scale 0.05) begins on 2024-11-01", "2024-10-31", "give a later DAY"],
        ),
        ({"SAAS_GROWTH_SOURCE": "relaxed"}, ["no source relaxed", "choose synthetic or a mapping", "relax"]),
        ({"SAAS_GROWTH_SOURCE": "../relax"}, ["no source ../relax", "choose"]),
        ({"SAAS_GROWTH_SOURCE": "relax"}, ["source relax reads files", "DATA=<folder>"]),
        ({"SAAS_GROWTH_SEED": "one"}, ["SAAS_GROWTH_SEED is a whole number", "correct"]),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_refused_at_once(make_run, project, asked, said):
    before = files(project)

    sentence = refusal(make_run(**asked))

    for words in said:
        assert words in sentence
    assert files(project) == before


@pytest.mark.parametrize(
    ("asked", "other"),
    [
        ({"SAAS_GROWTH_SCALE": "0.2"}, "synthetic (seed 1, scale 0.2)"),
        ({"SAAS_GROWTH_SEED": "2"}, "synthetic (seed 2, scale 0.05)"),
        ({"SAAS_GROWTH_SOURCE": "relax", "WAREHOUSE": "data/saas_funnel.db"}, "relax"),
    ],
    ids=str,
)
def test_a_warehouse_of_another_source_is_refused(make_run, project, tmp_path, asked, other):
    users = "object_id,creation_time,email,creation_source\n1,22-04-2014 03:53,a@x,SEM\n"
    (tmp_path / "users.csv.gz").write_bytes(compressed(users))
    (tmp_path / "logins.csv.gz").write_bytes(compressed("user_id,time_stamp\n1,2014-04-22\n"))
    before = files(project)

    sentence = refusal(make_run(SAAS_GROWTH_SOURCE_PATH=str(tmp_path), **asked))

    for words in ("holds batches of source synthetic (seed 1, scale 0.05)", f"would land {other}", "WAREHOUSE="):
        assert words in sentence
    assert files(project) == before


def compressed(text: str) -> bytes:
    # Without the time of day, of which the name of a test would tell.
    return gzip.compress(text.encode(), mtime=0)


def test_the_last_day_is_the_last_whole_one_of_the_source_and_first_what_is_new(project, monkeypatch):
    source = Synthetic(scale=float(SCALE))
    warehouse = sqlite_place(project / "data/saas_funnel.db")

    def days(day: date | None = None, first: date | None = None) -> tuple[date, date]:
        return run._days(warehouse, source, day, first)

    assert days() == (LAST + timedelta(days=1), TODAY - timedelta(days=1))
    assert days(TODAY) == (LAST + timedelta(days=1), TODAY)
    assert days(date(2024, 11, 5)) == (date(2024, 11, 5), date(2024, 11, 5))
    assert days(date(2024, 11, 25), date(2024, 11, 3)) == (date(2024, 11, 3), date(2024, 11, 25))


# --- The warehouse


def test_a_warehouse_that_is_no_database_is_refused(make_run, project):
    (project / "data/saas_funnel.db").write_text("id,created\n" * 100)
    before = files(project)

    sentence = refusal(make_run())

    assert f"The warehouse {project}/data/saas_funnel.db is not a SQLite database" in sentence
    assert "name another file or move this one away" in sentence
    assert files(project) == before


def test_a_warehouse_cut_short_is_refused(make_run, project):
    path = project / "data/saas_funnel.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = files(project)

    sentence = refusal(make_run())

    assert f"The warehouse {path} is a damaged SQLite database: restore a copy of it" in sentence
    assert files(project) == before


def test_a_folder_in_place_of_the_warehouse_is_refused(make_run, project):
    before = files(project)

    sentence = refusal(make_run(WAREHOUSE="data"))

    assert f"The warehouse {project}/data is a folder: name a file in it with WAREHOUSE=" in sentence
    assert files(project) == before


def test_a_folder_that_cannot_be_made_is_refused(make_run, project):
    before = files(project)

    sentence = refusal(make_run(WAREHOUSE="data/saas_funnel.db/new.db"))

    assert f"The folder of the warehouse {project}/data/saas_funnel.db/new.db cannot be made" in sentence
    assert "WAREHOUSE=" in sentence
    assert files(project) == before


@pytest.mark.parametrize("character", "?#%")
def test_a_name_that_airflow_would_misread_is_refused(make_run, project, character):
    before = files(project)

    sentence = refusal(make_run(WAREHOUSE=f"data/100{character}20.db"))

    assert f"data/100{character}20.db has {character} in its name" in sentence
    assert "rename it" in sentence
    assert files(project) == before


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ("mysql://server/x", ['{"conn_type": "sqlite", "host": "/folder/file.db"}', "correct it"]),
        ("[]", ["is not of the form", "correct it"]),
        ('{"conn_type": "sqlite"}', ["is not of the form", "correct it"]),
        ('{"conn_type": "mysql", "host": "db"}', ["is of type mysql", "runs on sqlite, duckdb, postgres"]),
    ],
)
def test_a_connection_that_names_no_file_is_refused(make_run, project, connection, said):
    before = files(project)

    sentence = refusal(make_run(AIRFLOW_CONN_GROWTH_WAREHOUSE=connection))

    for words in ("AIRFLOW_CONN_GROWTH_WAREHOUSE", *said):
        assert words in sentence
    assert files(project) == before


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Nobody may write the file; for root, whom permissions do not bind, by its attribute."""
    if os.getuid():
        path.chmod(0o444)
        yield
        path.chmod(0o644)
        return
    subprocess.run(["chattr", "+i", path], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True, timeout=10)


def can_be_protected(folder: Path) -> bool:
    probe = folder / "probe"
    probe.touch()
    try:
        with read_only(probe):
            return True
    except (OSError, subprocess.SubprocessError):
        return False


def test_a_warehouse_that_may_not_be_written_is_refused(make_run, project, tmp_path):
    if not can_be_protected(tmp_path):
        pytest.skip("root, on a file system without the attribute +i: nothing can be made read-only")
    path = project / "data/saas_funnel.db"
    before = path.read_bytes()

    with read_only(path):
        sentence = refusal(make_run())

    assert f"The warehouse {path} is read-only: make the file and its folder writable" in sentence
    assert path.read_bytes() == before


def test_a_run_on_a_read_only_connection_is_one_sentence(loaded):
    warehouse = Warehouse(loaded, Synthetic(scale=float(SCALE)))
    warehouse.connection.close()
    warehouse.connection = sqlite3.connect(f"{loaded.as_uri()}?mode=ro", uri=True)

    with pytest.raises(UserError) as caught, plain_errors(warehouse.place):
        warehouse.run(LAST + timedelta(days=1))
    warehouse.connection.close()

    assert "is read-only: make the file and its folder writable" in one_sentence(str(caught.value))


def test_a_warehouse_that_somebody_locks_is_named(make_run, project, monkeypatch):
    path = project / "data/saas_funnel.db"
    monkeypatch.setattr("growth.engines.sqlite.BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        sentence = refusal(make_run())
        other.execute("rollback")

    assert f"The warehouse {path} stayed locked by another process" in sentence
    assert "end that process, then run again" in sentence


def test_make_run_waits_as_long_as_the_tasks_of_a_run(loaded):
    with connecting(sqlite_place(loaded)) as connection:
        (milliseconds,) = connection.execute("pragma busy_timeout").fetchone()
    engine = (definitions.PATH.parent / "sql/engines/sqlite.sql").read_text()

    assert milliseconds == 60_000
    assert "pragma busy_timeout = 60000;" in engine


def test_whoever_writes_or_checks_has_more_than_the_2_mb_of_cache_that_sqlite_gives(loaded):
    with connecting(sqlite_place(loaded)) as connection:
        (kilobytes,) = connection.execute("pragma cache_size").fetchone()
    assert -kilobytes > 100 * 1024


def test_only_one_make_run_works_in_a_folder(make_run, project):
    (project / ".airflow").mkdir()
    with run.run_lock(project / ".airflow/run.lock"):
        sentence = refusal(make_run())

    assert sentence == "Another `make run` is at work in this folder: let it end first."


def test_the_lease_of_a_killed_make_run_is_deleted_also_when_it_landed_nothing(tmp_path):
    """Airflow would believe for ever that it runs, and wait for it."""
    for number, landed in enumerate((False, True)):
        warehouse = Warehouse(tmp_path / f"{number}.db", Synthetic(scale=float(SCALE)))
        warehouse.run(FIRST)
        with warehouse.connection:
            warehouse.connection.execute("insert into work_lease values (1, 'saas_growth', 'killed', 'make run')")
            if not landed:
                warehouse.connection.execute("update run_state set as_of_date = null")
        run._free_killed_run(warehouse.place)
        assert warehouse.query("select * from work_lease") == []
        with warehouse.connection:
            warehouse.connection.execute("insert into work_lease values (1, 'saas_growth', 'scheduled', null)")
        run._free_killed_run(warehouse.place)
        assert warehouse.query("select run_id from work_lease") == [("scheduled",)]
        warehouse.connection.close()


# --- The days of a run in Airflow


@pytest.mark.parametrize(
    ("logical_date", "from_date", "said"),
    [
        (datetime(2026, 11, 4, tzinfo=UTC), None, ["The day 2026-11-04 has not begun", "it is 2026-11-03"]),
        (datetime(2026, 11, 2, tzinfo=UTC), "2026-11-31", ["from_date is '2026-11-31'", "give a date such as"]),
        (datetime(2026, 11, 2, tzinfo=UTC), "2026-11-03", ["from_date is 2026-11-03", "after the day of the run"]),
    ],
)
def test_days_that_cannot_be_run_are_refused(logical_date, from_date, said):
    now = datetime(2026, 11, 3, 23, 59, tzinfo=UTC)

    with pytest.raises(UserError) as caught:
        days_of_run(logical_date, now, from_date, now)

    for words in said:
        assert words in one_sentence(str(caught.value))


def test_a_day_that_has_begun_is_run():
    now = datetime(2026, 11, 3, 0, 0, 1, tzinfo=UTC)

    assert days_of_run(now, now, "2026-11-01", now) == Days(date(2026, 11, 1), date(2026, 11, 3))
    assert days_of_run(None, now, None, now) == Days(date(2026, 11, 2), date(2026, 11, 2))


# --- The definitions


def test_definitions_without_any_one_key_are_refused(tmp_path):
    whole = yaml.safe_load(definitions.PATH.read_text(encoding="utf-8"))
    path = tmp_path / "definitions.yaml"
    missed = 0
    # The entries below `words` have names of their own choice; all other keys are fixed.
    for word in whole.keys() - {"words"}:
        for key in whole[word]:
            content = json.loads(json.dumps(whole))
            del content[word][key]
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
            with pytest.raises(UserError) as caught:
                definitions.load(path)
            assert f"{word}.{key}: is missing" in one_sentence(str(caught.value))
            missed += 1
    assert missed > 30


# --- The files of a source


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("users.csv.gz", None, ["No file in", "matches 'users.csv.gz'", "deliver it"]),
        ("users.csv.gz", b"", ["users.csv.gz is empty", "deliver it again"]),
        ("users.csv.gz", b"no gzip", ["users.csv.gz cannot be read whole, deliver it again"]),
        ("logins.csv.gz", compressed("user,day\n1,2\n"), ["logins.csv.gz has no column 'time_stamp'", "user, day"]),
        ("logins.csv.gz", compressed("user_id,time_stamp\n1,soon\n"), ["logins.csv.gz has an arrival", "'soon'"]),
    ],
    ids=str,
)
def test_files_that_cannot_be_read_are_named_and_nothing_lands(make_run, project, tmp_path, name, content, said):
    users = "object_id,creation_time,email,creation_source\n1,22-04-2014 03:53,a@x,SEM\n"
    delivered = {"users.csv.gz": compressed(users), "logins.csv.gz": compressed("user_id,time_stamp\n1,2014-04-22\n")}
    delivered[name] = content
    for file, data in delivered.items():
        if data is not None:
            (tmp_path / file).write_bytes(data)
    before = files(project)

    sentence = refusal(make_run(SAAS_GROWTH_SOURCE="relax", SAAS_GROWTH_SOURCE_PATH=str(tmp_path)))

    for words in said:
        assert words in sentence
    assert files(project) == before


def test_a_folder_of_data_is_relative_to_the_current_one(make_run, project):
    sentence = refusal(make_run(SAAS_GROWTH_SOURCE="relax", SAAS_GROWTH_SOURCE_PATH="data/none"))

    assert f"There is no folder {project}/data/none" in sentence


def test_a_source_that_cannot_be_read_leaves_what_people_read(project):
    """The same within a run: what fails before the landing changes nothing, not even the batches."""

    class Broken(Batches):
        name = Synthetic(scale=float(SCALE)).name

        def pieces(self, first: date, last: date) -> Iterator[dict]:
            return open_source({"SAAS_GROWTH_SOURCE": "relax", "SAAS_GROWTH_SOURCE_PATH": "/none"}).pieces(first, last)

    warehouse = Warehouse(project / "data/saas_funnel.db", Broken())
    before = list(warehouse.connection.iterdump())

    with pytest.raises(UserError):
        warehouse.run(LAST + timedelta(days=1))

    assert list(warehouse.connection.iterdump()) == before
    warehouse.connection.close()
