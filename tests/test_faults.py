"""What goes wrong around a run, and what is left then. docs/faults.md says it in words, test by test."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worlds import Batches, Warehouse, days_of_tables, default_sql, end_lease, sqlite_place

from growth.days import Days, days_of_run
from growth.errors import UserError
from growth.language.tables import LAYERS, tables_of
from growth.sources.mapped.files import Files
from growth.sources.synthetic.rows import Synthetic
from growth.warehouse import pipeline
from growth.warehouse.scripts import plain_errors

HOME = Path(__file__).parents[1]

LOADED = (date(2024, 11, 1), date(2025, 1, 30))
NEXT = Days(date(2025, 1, 31), date(2025, 2, 1))  # with a month boundary, so that months are begun and closed

# Children of this process: what is imported already need not be imported fifty times.
processes = multiprocessing.get_context("fork")


@cache
def source() -> Synthetic:
    return Synthetic(scale=0.2)


def marts(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All that people read, in one read transaction."""
    connection.execute("begin")
    content = {
        table: connection.execute(f"select * from {table} order by 1, 2, 3").fetchall() for table in tables_of("marts")
    }
    content["as of"] = [days_of_tables(connection)[1:]]
    connection.rollback()
    return content


def read(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return marts(connection)


def copy(path: Path, to: Path) -> Path:
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(to)) as new:
        old.backup(new)
    return to


def run(path: Path, days: Days = NEXT, run_id: str = "run", prepare: Any = None, **options: Any) -> None:
    """A run by a process of its own would do this: its own connection, closed at the end."""
    with plain_errors(sqlite_place(path)), closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma synchronous = off")
        if prepare:
            prepare(connection)
        pipeline.run(connection, default_sql(), options.pop("source", None) or source(), days, run_id, **options)


def take_over(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        end_lease(connection)


def differences_from_rebuild(path: Path) -> list[str]:
    warehouse = Warehouse(path, source())
    found = warehouse.differences_from_rebuild()
    warehouse.connection.close()
    return found


def sentence_of(act: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        act()
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.endswith(".")
    return said


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of three months, to be copied."""
    path = tmp_path_factory.mktemp("loaded") / "warehouse.db"
    run(path, Days(*LOADED), "first load")
    return path


@pytest.fixture(scope="module")
def undisturbed(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """What people read after the next run when nothing goes wrong."""
    path = copy(loaded, tmp_path_factory.mktemp("undisturbed") / "warehouse.db")
    run(path)
    assert differences_from_rebuild(path) == []
    assert read(path) != read(loaded)
    return read(path)


# --- Killed


def at_each_step(connection: sqlite3.Connection, then: Callable[[], None]) -> None:
    """Have something done every hundred steps within the statements."""
    connection.set_progress_handler(lambda: then() or 0, 100)


def killed_at(moment: int) -> Callable[[], None]:
    left = [moment]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def moments_of_a_run(loaded: Path, folder: Path, number: int) -> list[int]:
    """Random moments of a run, all within a statement; more of its last fifth."""
    counted = [0]

    def count() -> None:
        counted[0] += 1

    run(copy(loaded, folder / "counted.db"), prepare=lambda connection: at_each_step(connection, count))
    early, end = counted[0] * 4 // 5, counted[0] * 97 // 100
    rng = Random(7)
    return rng.sample(range(early), number // 2) + rng.sample(range(early, end), number - number // 2)


@pytest.mark.parametrize("number", [12, pytest.param(50, marks=pytest.mark.prove)])
def test_a_run_that_is_killed_within_a_statement_is_finished_by_the_next(loaded, undisturbed, tmp_path, number):
    """Kills between statements, on every engine, are in test_engines.py."""
    before = read(loaded)
    wrong = []
    published = 0
    for nth, moment in enumerate(moments_of_a_run(loaded, tmp_path, number)):
        path = copy(loaded, tmp_path / "killed.db")
        prepare = lambda connection, moment=moment: at_each_step(connection, killed_at(moment))  # noqa: E731
        child = processes.Process(target=run, args=(path,), kwargs={"prepare": prepare})
        child.start()
        child.join(60)

        left = read(path)
        published += left == undisturbed
        if nth % 2:
            run(path)  # Airflow tries the task again
        else:
            take_over(path)
            run(path, run_id="another run")
        found = differences_from_rebuild(path)
        if child.exitcode != -signal.SIGKILL or left not in (before, undisturbed) or read(path) != undisturbed or found:
            wrong.append((moment, child.exitcode, found[:3]))
        path.unlink()
    assert wrong == []
    assert published < number / 3  # most were killed before they had published


TASKS = [task for layer in LAYERS for task in (*tables_of(layer), f"check_{layer}")] + ["publish"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_leaves_its_work_to_a_run_of_another_day(loaded, undisturbed, tmp_path, task):
    """The batches that it landed stay in scope until a run publishes."""
    path = copy(loaded, tmp_path / "killed.db")

    def stop(before: str) -> None:
        if before == task:
            raise Killed

    with pytest.raises(Killed):
        run(path, before_task=stop)
    assert read(path) == read(loaded)
    take_over(path)
    run(path, Days(date(2025, 1, 3), date(2025, 1, 3)), "a repair of another day")

    assert read(path) == undisturbed
    assert differences_from_rebuild(path) == []


# --- No room, no disk


def test_a_full_disk_loses_nothing_that_was_published(loaded, undisturbed, tmp_path):
    path = copy(loaded, tmp_path / "full.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("vacuum")
        (pages,) = connection.execute("pragma page_count").fetchone()
    before = read(path)
    said, stopped_in = set(), set()
    for more in range(40):
        tasks: list[str] = []

        def limit(connection: sqlite3.Connection, pages: int = pages + more) -> None:
            connection.execute(f"pragma max_page_count = {pages}")

        try:
            run(path, prepare=limit, before_task=tasks.append)
            break
        except UserError as error:
            said.add(str(error))
        assert read(path) == before
        stopped_in.add(tasks[-1])

    assert said == {f"The warehouse {path} has no room left on its disk: make room, then run again."}
    assert len(stopped_in) > 2, stopped_in
    assert read(path) == undisturbed
    assert differences_from_rebuild(path) == []


def limited(path: Path, size: int, answer: Any) -> None:
    """A run whose files cannot grow beyond a size: writing gives an error, as a broken disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        run(path)
        answer.send("published")
    except UserError as error:
        answer.send(str(error))
    except BaseException as error:
        answer.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.2])
def test_a_disk_that_gives_errors_loses_nothing_that_was_published(loaded, undisturbed, tmp_path, share):
    path = copy(loaded, tmp_path / "broken.db")
    heard, answer = processes.Pipe(duplex=False)
    child = processes.Process(target=limited, args=(path, int(path.stat().st_size * share), answer))
    child.start()
    answer.close()
    said = heard.recv()
    child.join(60)

    assert said == f"The warehouse {path} cannot be written, the disk gave an error: check the disk, then run again."
    assert read(path) == read(loaded)
    run(path)
    assert read(path) == undisturbed


# --- Locked


def test_a_reader_that_stays_for_long_stops_no_run_and_sees_no_change(loaded, undisturbed, tmp_path):
    path = copy(loaded, tmp_path / "read.db")
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("begin")
        before = reader.execute("select * from dim_user_health order by 1").fetchall()
        run(path)
        assert reader.execute("select * from dim_user_health order by 1").fetchall() == before

    assert read(path) == undisturbed


def test_readers_see_one_runs_tables_and_are_never_refused(loaded, tmp_path):
    """Here with connections that last and do not wait; test_engines.py has a connection for each read."""
    path = copy(loaded, tmp_path / "read.db")
    sets = [read(path)]
    reads: list[dict[str, list[tuple[Any, ...]]]] = []
    wrong: list[str] = []
    stop = threading.Event()

    def reader() -> None:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            while not stop.is_set():
                try:
                    reads.append(marts(connection))
                except sqlite3.Error as error:
                    wrong.append(str(error))

    readers = [threading.Thread(target=reader) for _ in range(3)]
    for thread in readers:
        thread.start()
    try:
        for number in range(12):
            day = NEXT.first + timedelta(days=number)
            run(path, Days(day, day), f"run {number}")
            sets.append(read(path))
    finally:
        stop.set()
        for thread in readers:
            thread.join(60)

    wrong += [f"a mixture, {found['as of']}" for found in reads if found not in sets]
    assert wrong == []
    assert len({sets.index(found) for found in reads}) > 5
    assert all(a != b for a, b in pairwise(sets))


# --- Two runs at once


def test_a_second_run_is_refused_until_the_first_has_ended(loaded, undisturbed, tmp_path):
    path = copy(loaded, tmp_path / "two.db")
    reached, go_on = processes.Event(), processes.Event()

    def wait(task: str) -> None:
        if task == "int_funnel_steps":
            reached.set()
            assert go_on.wait(60)

    first = processes.Process(target=run, args=(path,), kwargs={"run_id": "first", "before_task": wait})
    first.start()
    assert reached.wait(60)
    with closing(sqlite3.connect(path)) as connection:
        raw = connection.execute("select count(*) from raw_events").fetchone()
    said = sentence_of(lambda: run(path, Days(date(2025, 2, 2), date(2025, 2, 2)), "second"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from raw_events").fetchone() == raw
    assert read(path) == read(loaded)
    go_on.set()
    first.join(60)

    assert first.exitcode == 0
    assert said == (
        "The warehouse is held by run first of without_airflow: let that run end or mark it as failed,"
        " then clear this task."
    )
    assert read(path) == undisturbed
    run(path, Days(date(2025, 2, 2), date(2025, 2, 2)), "second")
    assert differences_from_rebuild(path) == []


# --- The warehouse changed by hand


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("alter table raw_events rename column feature_name to feature", "feature_name"),
        ("drop table raw_subscriptions", "raw_subscriptions"),
        ("alter table stg_users rename column signup_day to day_of_signup", "signup_day"),
        ("drop table int_user_engagement", "int_user_engagement"),
        ("alter table dim_user_health rename column health_status to status", "health_status"),
        ("drop table fct_acquisition_funnel", "fct_acquisition_funnel"),
        ("drop view next__fct_acquisition_funnel", "next__fct_acquisition_funnel"),
        ("drop table work_lease", "work_lease"),
        ("drop table calendar_months", "calendar_months"),
    ],
)
def test_a_warehouse_changed_by_hand_is_one_sentence(loaded, tmp_path, damage, said):
    path = copy(loaded, tmp_path / "damaged.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma legacy_alter_table = on")  # leaves the views as they are
        connection.execute(damage)
    with closing(sqlite3.connect(path)) as connection:
        before = {t: rows(connection, t) for t in tables_of("marts")}

    sentence = sentence_of(lambda: run(path))

    assert f"The warehouse {path} and the SQL do not fit (" in sentence
    assert said in sentence
    assert "correct the query that was edited, or restore a copy of the warehouse" in sentence
    with closing(sqlite3.connect(path)) as connection:
        assert {t: rows(connection, t) for t in tables_of("marts")} == before


def rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]] | str:
    try:
        return connection.execute(f"select * from {table} order by 1, 2, 3").fetchall()
    except sqlite3.OperationalError as error:
        return str(error)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_damaged_warehouse_is_one_sentence(loaded, tmp_path, where):
    path = copy(loaded, tmp_path / "damaged.db")
    content = bytearray(path.read_bytes())
    start = int(len(content) * where)
    for page in range(start // 4096, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)

    assert sentence_of(lambda: run(path)) == f"The warehouse {path} is a damaged SQLite database: restore a copy of it."


# --- The source


MAPPING = """
files:
  - pattern: events.csv
    arrival: at
    dates: {at: iso}
    feeds:
      - {table: raw_events, columns: {event_id: id, user_id: user, event_type: what, event_date: {day: at}}}
      - {table: raw_users, columns: {user_id: user, signup_date: {day: at}}}
"""


def delivered(folder: Path, lines: int) -> Files:
    (folder / "shop.yaml").write_text(MAPPING)
    days = [date(2025, 1, 1) + timedelta(days=n // 40) for n in range(lines)]
    text = [f"e{n},u{n % 17},daily_active,{day}\n" for n, day in enumerate(days)]
    (folder / "events.csv").write_text("id,user,what,at\n" + "".join(text))
    return Files(folder / "shop.yaml", folder)


def all_days(files: Files) -> Days:
    return Days(files.first_day, files.last_day)


def test_a_source_file_that_cannot_be_read_lands_nothing(tmp_path):
    path = tmp_path / "warehouse.db"
    first = delivered(tmp_path, 400)
    run(path, all_days(first), source=first)
    before = read(path)
    whole = (tmp_path / "events.csv").read_bytes()
    days = all_days(first)
    for damaged in (b"", whole[:7], b"\x89PNG\r\n" + whole, whole + b"\xff\xfe", whole.replace(b",at", b",when", 1)):
        (tmp_path / "events.csv").write_bytes(damaged)
        said = sentence_of(lambda: run(path, days, source=Files(tmp_path / "shop.yaml", tmp_path)))
        assert str(tmp_path / "events.csv") in said
        assert read(path) == before

    (tmp_path / "events.csv").write_bytes(whole)
    run(path, days, source=Files(tmp_path / "shop.yaml", tmp_path))
    assert read(path) == before
    assert differences_from_rebuild(path) == []


def test_a_source_file_that_grows_is_read_as_it_was_at_one_moment_or_refused(tmp_path):
    """The line that is half written then is rejected, and landed whole by the next run of its day."""
    path = tmp_path / "warehouse.db"
    whole = delivered(tmp_path, 1200)
    days = all_days(whole)
    text = (tmp_path / "events.csv").read_bytes()
    grown = threading.Event()

    def grow() -> None:
        with (tmp_path / "events.csv").open("wb", buffering=0) as file:
            for start in range(0, len(text), 97):
                file.write(text[start : start + 97])
                deadline = time.monotonic() + 10
                while len(landed) < 8 * start // len(text) and time.monotonic() < deadline:
                    time.sleep(0.001)  # so that it is read several times on its way
        grown.set()

    (tmp_path / "events.csv").write_bytes(text[:1000])
    landed: list[int] = []
    writer = threading.Thread(target=grow, daemon=True)
    writer.start()
    while not grown.is_set():
        files = Files(tmp_path / "shop.yaml", tmp_path)
        try:
            run(path, all_days(files), source=files)
        except UserError:
            continue  # the header was not there yet, or it grew just then
        with closing(sqlite3.connect(path)) as connection:
            ids = [found for (found,) in connection.execute("select event_id from raw_events order by source_row")]
        landed.append(len(ids))
        assert ids[:-1] == [f"e{n}" for n in range(len(ids) - 1)]
        assert differences_from_rebuild(path) == []
    writer.join(60)
    assert len(set(landed)) > 3

    run(path, days, source=Files(tmp_path / "shop.yaml", tmp_path))
    clean = tmp_path / "clean.db"
    run(clean, days, source=whole)
    assert read(path) == read(clean)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from rejects").fetchone() == (0,)


# --- Days


def people(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select cohort_month, visitors, signups, activated from fct_acquisition_funnel"
        " where visitors > 0 order by cohort_month"
    ).fetchall()


def test_a_wrong_clock_refuses_days_or_runs_them_and_changes_no_number(loaded, undisturbed, tmp_path):
    behind, ahead = datetime(2019, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    day = datetime(2025, 2, 1, tzinfo=UTC)

    said = sentence_of(lambda: days_of_run(day, day, now=behind))
    assert said == "The day 2025-02-01 has not begun (it is 2019-01-01 in UTC): run a day that has."
    assert days_of_run(day, day, "2025-01-31", now=ahead) == NEXT

    # A run that Airflow begins by a clock in the past: its day is before all others, and is no new as-of day.
    path = copy(loaded, tmp_path / "clock.db")
    run(path)
    past = days_of_run(None, behind, now=behind)
    assert past == Days(date(2018, 12, 31), date(2018, 12, 31))
    run(path, past, "by a wrong clock")
    after = read(path)
    added = [row for row in after["fct_acquisition_funnel"] if row not in undisturbed["fct_acquisition_funnel"]]
    assert [row[:4] for row in added] == [("2018-12-01", 0, 0, 0)]
    after["fct_acquisition_funnel"].remove(added[0])
    assert after == undisturbed


def test_no_statement_asks_for_the_time(tmp_path):
    default_sql().write(tmp_path)
    scripts = {path.name: path.read_text() for path in tmp_path.glob("*.sql")}
    scripts |= {f"run/{table}": default_sql().build(table) for layer in LAYERS for table in tables_of(layer)}
    scripts |= {"publish": default_sql().publish(), "create": default_sql().create(), "views": default_sql().views()}
    asks = re.compile(
        r"\b(current_(date|time|timestamp)|now|localtime|getdate|sysdate|random)\b|(julianday|date|strftime)\(\)"
    )

    assert len(scripts) > 50
    for name, script in scripts.items():
        assert not asks.search(re.sub(r"--[^\n]*|'[^']*[^'a-z][^']*'", "", script)), name


def test_the_time_zone_of_the_machine_changes_no_number(loaded, undisturbed, tmp_path):
    for zone in ("Pacific/Kiritimati", "Pacific/Niue"):
        path = copy(loaded, tmp_path / f"{zone[-4:]}.db")
        child = processes.Process(target=run_in_zone, args=(path, zone))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert read(path) == undisturbed


def run_in_zone(path: Path, zone: str) -> None:
    os.environ["TZ"] = zone
    time.tzset()
    run(path)


def test_an_empty_day_moves_the_day_and_keeps_the_numbers(warehouse):
    user = {"user_id": "ann", "signup_date": "2025-01-02"}
    w = warehouse(Batches({date(2025, 1, 2): {"raw_users": [user]}}))
    w.run(date(2025, 1, 2))
    before = people(w.connection)
    w.run(date(2025, 1, 3))

    assert people(w.connection) == before == [("2025-01-01", 1, 1, 0)]
    assert days_of_tables(w.connection)[1] == "2025-01-03"
    assert w.query("select batch_date, sum(rows_landed) from raw_batches group by 1") == [
        ("2025-01-02", 1),
        ("2025-01-03", 0),
    ]
    assert w.differences_from_rebuild() == []


def test_a_leap_day_is_a_day_and_one_that_is_none_is_rejected(warehouse):
    users = [
        {"user_id": "leap", "signup_date": "2028-02-29"},
        {"user_id": "no such day", "signup_date": "2027-02-29"},
        {"user_id": "century", "signup_date": "2000-02-29"},
    ]
    events = [
        {"event_id": "1", "user_id": "leap", "event_type": "activated", "event_date": "2028-03-07"},
        {"event_id": "2", "user_id": "century", "event_type": "activated", "event_date": "2000-03-08"},
    ]
    w = warehouse(Batches({date(2028, 2, 29): {"raw_users": users}, date(2028, 3, 7): {"raw_events": events}}))
    for day in (date(2028, 2, 29), date(2028, 3, 1), date(2028, 3, 7)):
        w.run(day)

    # Seven days after the 29th of February is the 7th of March; the 8th of March is one too late.
    assert people(w.connection) == [("2000-02-01", 1, 1, 0), ("2028-02-01", 1, 1, 1)]
    assert w.query("select reject_reason, json_extract(content, '$.user_id') from rejects") == [
        ("unreadable signup date", "no such day")
    ]
    assert w.query(
        "select months_since_signup, active_users, is_complete from fct_engagement_cohorts"
        " where cohort_month = '2028-02-01' order by 1"
    ) == [(0, 0, 1), (1, 0, 0)]
    assert w.differences_from_rebuild() == []


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        ("2026-01-31T23:30:00-02:00", "2026-02-01"),
        ("2026-02-01T01:30:00+02:00", "2026-01-01"),
        ("2026-01-31T23:59:59.999Z", "2026-01-01"),
        ("2026-02-01T00:00:00Z", "2026-02-01"),
        ("2025-12-31T14:00:00-10:00", "2026-01-01"),
        ("2026-01-01T13:59:59+14:00", "2025-12-01"),
    ],
)
def test_a_month_begins_in_utc(warehouse, moment, month):
    event = {
        "event_id": "1",
        "user_id": "ann",
        "event_type": "visit",
        "event_date": moment[:10],
        "event_timestamp": moment,
    }
    w = warehouse(Batches({date(2026, 2, 2): {"raw_events": [event]}}))
    w.run(date(2026, 2, 2))

    assert people(w.connection) == [(month, 1, 0, 0)]


# --- The page about all this


def test_every_fault_of_the_page_names_a_test_that_exists():
    page = (HOME / "docs/faults.md").read_text(encoding="utf-8")
    faults = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| Fault |")]
    existing = {
        name
        for path in (HOME / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert len(faults) > 25
    for fault in faults:
        named = re.findall(r"`(test_\w+)`", fault)
        assert named, f"no test: {fault}"
        assert set(named) <= existing, set(named) - existing


def test_every_test_of_this_file_stands_on_the_page():
    page = (HOME / "docs/faults.md").read_text(encoding="utf-8")
    here = re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE)

    assert [name for name in here if not name.startswith("test_every_") and f"`{name}`" not in page] == []
