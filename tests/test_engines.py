"""The same promises on every engine: same numbers, kills, readers, two at once, a warehouse of an older version.

Cases, roads, identities, erasure and damaged rows run on every engine in their own files.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from airflow_home import Project
from random_worlds import Mortal
from worlds import (
    ReadOnce,
    Warehouse,
    WithDevices,
    changed_definitions,
    days_of_tables,
    default_sql,
    end_lease,
    fresh_place,
)

from growth.commands.move import move
from growth.commands.summary import print_summary
from growth.days import Days
from growth.engines import Place
from growth.errors import PassingError, UserError
from growth.language import definitions
from growth.language.queries import Reader, query_names, query_text, shapes
from growth.language.raw import RAW_COLUMNS
from growth.language.sql import Sql
from growth.language.tables import tables_of
from growth.sources.mapped.files import Files
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse import pipeline
from growth.warehouse.erase import erase
from growth.warehouse.schema import prepare
from growth.warehouse.scripts import Refused, connecting, plain_errors
from growth.warehouse.verify import differences, report, verify

MAPPING = Path(__file__).parents[1] / "include/sources/relax.yaml"
# Tables about runs and arrivals that people ask.
FOR_PEOPLE = {
    "raw_batches",
    "unmapped_events",
    "run_state",
    "run_steps",
    "check_results",
    "restatements",
    "calendar_months",
}
LOADED = (date(2024, 11, 1), date(2025, 1, 30))
NEXT = date(2025, 1, 31)

# What a process of its own has to import is imported once; a fork of this one would inherit the engines' threads.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["test_engines"])


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def company() -> Synthetic:
    return Synthetic(scale=0.1)


def marts(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    """All that people read."""
    content = {t: connection.execute(f"select * from {t} order by 1, 2, 3").fetchall() for t in tables_of("marts")}
    content["as of"] = [days_of_tables(connection)[1:]]
    return content


# --- The same numbers


@pytest.fixture
def given(request: pytest.FixtureRequest) -> tuple[Any, date, date]:
    if request.param == "relax":
        files = ReadOnce(Files(MAPPING, request.getfixturevalue("shared_data") / "data/relax"))
        return files, files.first_day, files.last_day
    return WithDevices(scale=0.2), date(2024, 11, 1), date(2026, 10, 31)


@pytest.mark.slow
@pytest.mark.parametrize("given", [pytest.param("relax", marks=pytest.mark.prove), "synthetic"], indirect=True)
def test_every_table_is_the_same_on_every_engine(
    given: tuple[Any, date, date], every_other_engine: str, capsys: pytest.CaptureFixture
) -> None:
    source, first, last = given
    with fresh_place("sqlite") as one, fresh_place(every_other_engine) as two:
        ours, theirs = Warehouse(one, source), Warehouse(two, source)
        for warehouse in (ours, theirs):
            warehouse.run(first, last - timedelta(days=2))
            for ago in (1, 0):
                warehouse.run(last - timedelta(days=ago))
        assert [m.columns for m in ours.sql.tables.values()] == [m.columns for m in theirs.sql.tables.values()]
        found = differences(ours.connection, theirs.connection, ours.sql.tables.values(), within=1e-9)
        assert [str(d) for d in found[:5]] == []
        assert ours.query("select count(*) from stg_events")[0][0] > 5_000

        theirs.close()
        assert report(verify(two, theirs.sql)) == 0
        assert capsys.readouterr().out.startswith(f"identical: {len(ours.sql.tables.values())} tables, ")
        ours.close()


@pytest.mark.every_engine
def test_a_cell_that_was_changed_by_hand_is_found(warehouse: Callable[..., Warehouse]) -> None:
    w = warehouse(company())
    w.run(*LOADED)
    w.query("update fct_acquisition_funnel set signups = signups + 1 where cohort_month = '2024-12-01'")
    (found,) = w.differences_from_rebuild()
    assert found.startswith("fct_acquisition_funnel 2024-12-01: signups is ")


# --- Killed


class Deadly(Mortal):
    """A connection whose process is killed before a given statement."""

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run_and_die(place: Place, day: date, run_id: str, statement: int | None, seconds: float | None) -> None:
    """A run that is killed before a statement, or after some time wherever it is then."""
    if seconds is not None:
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
    sql, source = default_sql(place.kind), company()
    sql.publish()
    connection = place.engine.connect(place)
    if seconds is not None:
        timer.start()
    mortal = Deadly(connection, 10**9 if statement is None else statement)
    pipeline.run(mortal, sql, source, Days(day, day), run_id)


@pytest.mark.slow
@pytest.mark.every_engine(others="prove")
@pytest.mark.parametrize("days", [8, pytest.param(50, marks=pytest.mark.prove)])
def test_any_killed_run_is_finished_by_the_next(warehouse: Callable[..., Warehouse], days: int) -> None:
    """The run of each day is killed once; beside it a company whose runs are not."""
    calm, struck = warehouse(company()), warehouse(company())
    for each in (calm, struck):
        each.run(*LOADED)
    rng, wrong, published = Random(7), [], 0
    for number in range(days):
        day = NEXT + timedelta(days=number)
        before = marts(calm.connection)
        connection = calm.connection
        calm.connection = counting = Mortal(connection, 10**9)
        started = time.perf_counter()
        calm.run(day)
        seconds = time.perf_counter() - started
        calm.connection = connection
        after = marts(connection)

        statements = 10**9 - counting.left
        moment = rng.randrange(statements * 97 // 100) if number % 2 else None
        later = None if number % 2 else rng.uniform(0, seconds)
        struck.close()
        child = processes.Process(target=run_and_die, args=(struck.place, day, f"run of {day}", moment, later))
        child.start()
        child.join(120)

        left = marts(struck.connection)
        published += left == after
        if number % 4 < 2:  # Airflow tries the task again, or another run takes over
            struck.query("update work_lease set run_id = ?", f"run {struck.runs + 1}")
        else:
            end_lease(struck.connection)
        struck.run(day)
        # A run that was to be killed by the clock may have been quicker.
        killed = child.exitcode == -signal.SIGKILL or (later is not None and child.exitcode == 0)
        if not killed or left not in (before, after) or marts(struck.connection) != after:
            wrong.append((number, moment, later, child.exitcode))
    assert wrong == []
    assert published < days / 2  # most were killed before they had published
    assert struck.differences_from_rebuild() == []


# --- Readers and writers


@pytest.mark.slow
@pytest.mark.every_engine(others="prove")
@pytest.mark.parametrize("runs", [5, pytest.param(15, marks=pytest.mark.prove)])
def test_readers_of_any_engine_see_one_runs_tables_and_are_never_refused(
    warehouse: Callable[..., Warehouse], runs: int
) -> None:
    w = warehouse(company())
    engine = w.place.engine
    w.run(*LOADED)
    engine.refresh_readers(w.place, w.connection)
    sets = [marts(w.connection)]
    reads: list[dict[str, Any]] = []
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                with closing(engine.read(w.place)) as connection:
                    reads.append(marts(connection))
            except engine.Error as error:
                wrong.append(str(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    try:
        for number in range(runs):
            w.run(NEXT + timedelta(days=number))
            engine.refresh_readers(w.place, w.connection)
            sets.append(marts(w.connection))
            # On a busy machine, too, at least one read happens between two runs.
            before, deadline = len(reads), time.monotonic() + 30
            while len(reads) == before and not wrong and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        stop.set()
        for thread in readers:
            thread.join(60)

    wrong += [f"a mixture, {found['as of']}" for found in reads if found not in sets]
    assert wrong == []
    assert len({sets.index(found) for found in reads}) > runs / 3
    assert all(a != b for a, b in pairwise(sets))


@pytest.mark.every_engine
def test_who_reads_cannot_write(warehouse: Callable[..., Warehouse]) -> None:
    w = warehouse(company())
    w.run(*LOADED)
    w.place.engine.refresh_readers(w.place, w.connection)
    with closing(w.place.engine.read(w.place)) as connection:
        assert connection.execute("select count(*) from dim_user_health").fetchone() != (0,)
        with pytest.raises(w.place.engine.Error):
            connection.execute("delete from dim_user_health")


def hold(place: Place, held: Any, release: Any) -> None:
    """Another process that writes, until it is told to end."""
    sql = default_sql(place.kind)
    with closing(place.engine.connect(place)) as connection:
        for statement in sql.begin():
            connection.execute(statement)
        held.set()
        release.wait(60)
        connection.rollback()


@pytest.fixture
def other_writer() -> Iterator[Callable[[Place], Any]]:
    """Keeps a warehouse from another process; gives what ends that."""
    started = []

    def start(place: Place) -> Any:
        held, release = processes.Event(), processes.Event()
        child = processes.Process(target=hold, args=(place, held, release))
        child.start()
        assert held.wait(60)
        started.append((child, release))
        return release

    yield start
    for child, release in started:
        release.set()
        child.join(60)


@pytest.mark.every_engine
def test_a_writer_is_waited_for_and_readers_are_not_blocked(
    warehouse: Callable[..., Warehouse], other_writer: Callable[[Place], Any]
) -> None:
    w = warehouse(company())
    engine = w.place.engine
    w.run(*LOADED)
    engine.refresh_readers(w.place, w.connection)
    before = marts(w.connection)
    w.close()
    release = other_writer(w.place)

    def run() -> None:
        w.run(NEXT)
        w.close()

    runner = threading.Thread(target=run)
    runner.start()
    for _ in range(5):
        with closing(engine.read(w.place)) as connection:
            assert marts(connection) == before
        time.sleep(0.2)
    assert runner.is_alive()
    release.set()
    runner.join(60)
    assert days_of_tables(w.connection)[1] == NEXT.isoformat()


class Impatient(Sql):
    """Waits for moments where the product says a minute."""

    def begin(self) -> list[str]:
        return [s.replace("60s", "200ms").replace("60000", "200") for s in super().begin()]


@pytest.mark.every_engine
def test_a_writer_that_stays_is_one_sentence_and_the_task_is_tried_again(
    warehouse: Callable[..., Warehouse], other_writer: Callable[[Place], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    w = warehouse(company())
    w.run(*LOADED)
    w.close()
    monkeypatch.setattr(f"growth.engines.{w.place.kind}.BUSY_SECONDS", 0.2, raising=False)
    release = other_writer(w.place)
    w.sql = Impatient(w.sql.definitions, w.place.kind)
    with pytest.raises(PassingError) as caught, plain_errors(w.place):
        w.run(NEXT)
    w.close()
    release.set()
    assert "stayed " in str(caught.value)
    assert "end that" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    w.sql = default_sql(w.place.kind)
    w.run(NEXT)
    assert w.differences_from_rebuild() == []


def run_until_done(place: Place, days: list[date], name: str) -> None:
    """Run some days one after the other, each again for as long as it is refused."""
    logging.disable(logging.WARNING)
    for day in days:
        while True:
            try:
                with closing(place.engine.connect(place)) as connection:
                    pipeline.run(connection, default_sql(place.kind), company(), Days(day, day), f"{name} {day}")
                break
            except Refused:
                time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.every_engine(others="prove")
def test_runs_of_two_processes_at_once_mix_nothing(warehouse: Callable[..., Warehouse]) -> None:
    two, alone = warehouse(company()), warehouse(company())
    for each in (two, alone):
        each.run(*LOADED)
    two.close()
    days = [NEXT + timedelta(days=n) for n in range(8)]
    children = [
        processes.Process(target=run_until_done, args=(two.place, days[::2], "even")),
        processes.Process(target=run_until_done, args=(two.place, days[1::2][::-1], "odd, backwards")),
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(240)

    assert [child.exitcode for child in children] == [0, 0]
    alone.run(days[0], days[-1])
    assert marts(two.connection) == marts(alone.connection)
    assert two.differences_from_rebuild() == []


# --- A warehouse of an older version


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_warehouse_of_an_earlier_version_goes_on(version: str, tmp_path: Path) -> None:
    """Dumps of two that had landed up to 2025-01-21; the run of that day was left in its middle by 1.1."""
    w = Warehouse(tmp_path / "old.db", WithDevices(scale=0.04))
    w.connection.executescript(
        gzip.decompress((Path(__file__).parent / f"warehouse_of_{version}.sql.gz").read_bytes()).decode()
    )
    erased = w.query("select * from erased order by 1") if version == "1.1" else []
    raw = {t: w.query(f"select * from {t} order by 1, 2, 3") for t in (*RAW_COLUMNS, "raw_batches")}
    known = {t: ", ".join(w.place.engine.columns(w.connection, t)) for t in tables_of("marts")}
    before = {t: w.query(f"select {columns} from {t} order by 1, 2, 3") for t, columns in known.items() if columns}
    assert len(raw["raw_events"]) > 150
    assert len(before) == 5

    prepare(w.connection, w.sql)
    for table, rows in before.items():
        assert w.query(f"select {known[table]} from {table} order by 1, 2, 3") == rows, table

    if version == "1.1":
        assert w.query("select run_id from work_lease") == [("run 2",)], "its run goes on, or Airflow says it has ended"
        w.query("delete from work_lease")
    assert w.query("select * from work_erased order by 1") == erased
    tables = {name for name in w.place.engine.tables(w.connection) if not name.startswith("work_")}
    assert tables <= {*w.sql.tables, *RAW_COLUMNS, *FOR_PEOPLE}, "old tables of runs are gone"
    # A table that lies in another order now is made anew.
    for model in w.sql.tables.values():
        assert w.place.engine.key(w.connection, model.name) == list(model.key), model.name
    w.run(date(2025, 1, 22))
    for table, rows in raw.items():
        assert set(rows) <= set(w.query(f"select * from {table}")), table
    assert days_of_tables(w.connection)[1] == "2025-01-22"
    assert w.differences_from_rebuild() == []


@pytest.mark.every_engine
def test_a_warehouse_that_lacks_a_mart_and_columns_gains_them_and_loses_nothing(
    warehouse: Callable[..., Warehouse],
) -> None:
    """As one of a version before them."""
    w = warehouse(company())
    w.run(*LOADED)
    for statement in w.sql.drop_views():
        w.query(statement)
    for table in ("fct_active_users", "work_building__fct_active_users", "work_scope__fct_active_users"):
        w.query(f"drop table {table}")
    for table, column in {
        "fct_acquisition_funnel": "matures_on",
        "int_user_engagement": "events",
        "raw_events": "anonymous_id",
    }.items():
        w.query(f"alter table {table} drop column {column}")
    if w.place.kind != "duckdb":
        w.query("create index of_older on int_feature_usage (user_id)")
        assert w.place.engine.indexes(w.connection, "int_feature_usage") == ["of_older"]
    w.query("update run_state set prepared_fingerprint = 'older'")
    raw = w.query("select count(*), min(event_id), max(event_id) from raw_events")
    kept = "select cohort_month, visitors, signups, activated, paid from fct_acquisition_funnel order by 1"
    funnel, health = w.query(kept), w.query("select * from dim_user_health order by 1")

    prepare(w.connection, w.sql)
    assert w.query(kept) == funnel
    assert w.query("select * from dim_user_health order by 1") == health
    assert w.query("select count(*), min(event_id), max(event_id) from raw_events") == raw
    assert w.place.engine.indexes(w.connection, "int_feature_usage") == []

    w.run(NEXT)
    assert w.query("select count(*) from fct_acquisition_funnel where matures_on is null") == [(0,)]
    assert w.query("select count(*) from fct_active_users")[0][0] > 80
    assert w.differences_from_rebuild() == []


@pytest.mark.every_engine
def test_a_column_that_no_definition_has_any_more_goes_once_people_read_without_it(
    warehouse: Callable[..., Warehouse],
) -> None:
    funnel = changed_definitions().funnel.model_dump(exclude_none=True)
    step = {"name": "second", "sentence": "", "people": "seconds", "noun": "second", "any_of": ["daily_active"]}
    w = warehouse(company(), Sql(changed_definitions(funnel=funnel | {"steps": [*funnel["steps"], step]})))
    engine = w.place.engine
    w.run(*LOADED)
    assert "seconds" in engine.columns(w.connection, "fct_acquisition_funnel")

    w.sql = default_sql(w.place.kind)
    prepare(w.connection, w.sql)
    assert "seconds" in engine.columns(w.connection, "fct_acquisition_funnel")
    w.run(NEXT)
    assert "seconds" not in engine.columns(w.connection, "fct_acquisition_funnel")
    assert w.differences_from_rebuild() == []


# --- What people see


@pytest.mark.slow
def test_every_engine_gives_pages_and_commands_the_same_answers(every_other_engine: str) -> None:
    asked = {"since": "2024-11-01", "until": "2025-12-01", "source": "google", "campaign": "(none)", "pattern": "%a%"}
    asked |= {"first_date": "2025-06-01", "last_date": "2025-06-30", "next_month": "2025-07-01"}
    asked |= {"size": 20, "start": 0, "run_id": "run 1"}
    answers: list[dict[str, Any]] = []
    with ExitStack() as places:
        for kind in ("sqlite", every_other_engine):
            w = Warehouse(places.enter_context(fresh_place(kind)), company())
            w.run(date(2024, 11, 1), date(2025, 12, 30))
            w.run(date(2025, 12, 31))
            w.place.engine.refresh_readers(w.place, w.connection)
            w.close()
            found: dict[str, Any] = {}
            with closing(w.place.engine.read(w.place)) as connection:
                reader = Reader(w.sql, connection)
                assert {m.name for m in w.sql.marts} <= reader.tables
                for name in query_names():
                    # The time that a run takes differs; whoever only reads cannot delete.
                    if name in ("terminal/run_seconds", "terminal/history"):
                        continue
                    for number, shape in enumerate(shapes(name)):
                        rows = [rounded(row) for row in reader.stream(name, asked, **shape)]
                        is_ordered = "order by" in query_text(w.sql, name, **shape)
                        found[f"{name} {number}"] = rows if is_ordered else sorted(rows, key=repr)
            answers.append(found)
    ours, theirs = answers
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert sum(map(len, ours.values())) > 500


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {c: round(float(v), 9) if isinstance(v, int | float) else v for c, v in row.items()}


@pytest.mark.slow
@pytest.mark.every_engine(others="prove")
def test_make_run_and_make_verify_do_the_same_on_every_engine(
    place: Callable[[], Place], tmp_path: Path, engine: str
) -> None:
    where = place()
    project = Project(tmp_path / "a project", AIRFLOW_CONN_GROWTH_WAREHOUSE=where.as_json())

    def growth(command: str, **settings: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "growth", command],
            cwd=project.root,
            env=project.env | settings,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    growth("run", DAY="2025-01-30")
    page = growth("run", DAY="2025-01-31").partition("saas_growth as of ")[2]
    assert growth("verify").startswith("identical: ")

    with fresh_place("sqlite") as other:
        w = Warehouse(other, Synthetic(scale=0.05))
        w.run(date(2024, 11, 1), date(2025, 1, 30))
        w.run(date(2025, 1, 31))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            print_summary(w.connection, definitions.load(), other, tmp_path)
        w.close()
    expected = out.getvalue().partition("saas_growth as of ")[2]
    assert page.partition("The tables are in")[0] == expected.partition("The tables are in")[0]
    assert {"sqlite": "  sqlite3 ", "duckdb": "  duckdb -readonly ", "postgres": "  psql "}[engine] in page


# --- From one engine to another


@pytest.mark.slow
@pytest.mark.every_engine
def test_a_history_moves_to_another_engine_and_goes_on_there(
    place: Callable[[], Place], capsys: pytest.CaptureFixture
) -> None:
    with fresh_place("sqlite") as old:
        w = Warehouse(old, company())
        w.run(*LOADED)
        w.run(LOADED[1])
        first = w.query("select min(user_id) from raw_users")[0][0]
        run = {"dag_id": "saas_growth_erase", "run_id": "erase", "first_day": "", "last_day": ""}
        erase(old, w.connection, w.sql, [first], run)
        before, ledger = marts(w.connection), w.query("select * from restatements order by 1, 2, 3")
        w.close()

        new = place()
        assert move(old, new.as_json()) == 0
        assert f"identical: {new} shows what {old} shows." in capsys.readouterr().out
        moved = Warehouse(new, company())
        after = marts(moved.connection)
        assert after.keys() == before.keys()
        for table, rows in before.items():
            assert [list(map(near, row)) for row in after[table]] == [list(map(near, row)) for row in rows], table
        assert moved.query("select * from restatements order by 1, 2, 3") == ledger
        with pytest.raises(UserError, match="name an empty one with INTO="):
            move(old, new.as_json())

        # The batch of the erased person lands again.
        moved.run(*LOADED)
        assert moved.query("select count(*) from raw_users where user_id = ?", first) == [(0,)]
        moved.run(NEXT)
        assert moved.differences_from_rebuild() == []
        moved.close()


def near(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


# --- A server


def test_a_server_that_is_not_there_is_one_sentence_and_the_task_is_tried_again() -> None:
    nowhere = Place("postgres", "127.0.0.1", 1, "growth", "a secret", "warehouse")
    with pytest.raises(PassingError) as caught, connecting(nowhere):
        pass
    said = str(caught.value)
    assert said.startswith("The warehouse warehouse on 127.0.0.1 cannot be reached (")
    assert said.endswith("start the server, or correct the connection.")
    assert "a secret" not in said


@pytest.mark.needs("PostgreSQL")
def test_a_session_that_the_server_ends_loses_nothing_that_was_published() -> None:
    with fresh_place("postgres") as place:
        w = Warehouse(place, company())
        w.run(*LOADED)
        before = marts(w.connection)
        (session,) = w.query("select pg_backend_pid()")[0]

        def end(task: str) -> None:
            if task == "int_funnel_steps":
                with closing(place.engine.connect(place)) as other:
                    other.execute("select pg_terminate_backend(?)", (session,))

        with pytest.raises(PassingError) as caught, plain_errors(place):
            w.run(NEXT, before_task=end)
        assert "lost its server" in str(caught.value)
        w.close()
        assert marts(w.connection) == before
        end_lease(w.connection)
        w.run(NEXT)
        assert w.differences_from_rebuild() == []
        w.close()
