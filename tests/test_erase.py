"""make erase: nothing is left of a person, in any table or in the file, and all numbers are right without them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worlds import Batches, Warehouse, WithDevices, not_accounted_for

from growth.errors import UserError
from growth.warehouse.erase import asked_for, erase
from growth.warehouse.verify import verify

pytestmark = pytest.mark.every_engine

RUN = {"dag_id": "saas_growth_erase", "run_id": "erasure"}
LAST = date(2025, 6, 30)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def cells_that_name(w: Warehouse, names: set[str]) -> list[tuple[str, str, str]]:
    """Every cell of every table in which one of the names stands, alone or as a word of a longer text."""
    word = re.compile(r"[\w.@-]+(?: \d+)?")
    found = []
    for table in sorted(w.sql.engine.tables(w.connection)):
        cursor = w.connection.execute(f"select * from {table}")
        columns = [c[0] for c in cursor.description]
        for row in cursor:
            for column, value in zip(columns, row, strict=True):
                if isinstance(value, str) and (value in names or not names.isdisjoint(word.findall(value))):
                    found.append((table, column, value))
    return found


def in_files(w: Warehouse, names: set[str]) -> list[str]:
    """The names that stand in the bytes of any file of the warehouse."""
    content = b"".join(path.read_bytes() for path in files_of(w))
    return [name for name in sorted(names) if re.search(rb"(?<![\w])" + name.encode() + rb"(?![\w])", content)]


def files_of(w: Warehouse) -> list[Path]:
    if w.place.kind != "postgres":
        w.close()
        return [path for path in w.path.parent.iterdir() if path.is_file()]
    w.connection.execute("checkpoint")
    relations = w.query(
        "select current_setting('data_directory'), pg_relation_filepath(oid) from pg_class"
        " where relnamespace = cast(current_schema() as regnamespace) and relkind in ('r', 'i')"
    )
    return [path for folder, name in relations for path in (Path(folder) / name).parent.glob(f"{Path(name).name}*")]


@pytest.mark.every_engine(others="prove")
@pytest.mark.parametrize(
    ("scale", "people"), [(0.02, 20), pytest.param(0.1, 100, marks=[pytest.mark.prove, pytest.mark.slow])]
)
def test_nothing_is_left_of_the_people_who_are_erased(
    warehouse: Callable[..., Warehouse], scale: float, people: int
) -> None:
    w = warehouse(WithDevices(scale=scale))
    w.run(w.source.first_day, LAST)
    users = [u for (u,) in w.query("select user_id from stg_users order by user_id")]
    gone = Random(1).sample(users, people)
    emails = {e for (u, e) in w.query("select user_id, email from raw_users") if u in gone and e}
    names = {*gone, *emails, *(f"former {u}" for u in gone)}
    # DuckDB compresses text, so names cannot be found in its file. There the test is that the file was replaced.
    packs = w.place.kind == "duckdb"
    assert packs or in_files(w, {gone[0]})
    file = w.path.stat().st_ino if packs else None
    assert cells_that_name(w, names)

    found = erase(w.place, w.connection, w.sql, gone[:1], RUN)
    assert gone[0] in found.ids
    assert found.rows > 0
    erase(w.place, w.connection, w.sql, gone[1:], RUN)

    assert cells_that_name(w, names) == []
    assert in_files(w, names) == []
    assert not packs or w.path.stat().st_ino != file
    assert verify(w.place, w.sql).differences == []
    assert w.query("select count(*) from dim_user_health") == [(len(users) - people,)]
    assert not_accounted_for(w.connection) == []

    # Their batches land again: they do not come back.
    w.run(LAST - timedelta(days=40), LAST)
    w.run(LAST + timedelta(days=1))
    assert cells_that_name(w, names) == []
    assert w.differences_from_rebuild() == []


def people() -> dict[str, list[dict[str, Any]]]:
    at = "2026-01-05T1{}:00:00"
    return {
        "raw_users": [
            {"user_id": u, "signup_date": "2026-01-05", "email": f"{u}@x.org"} for u in ("ann", "bob", "ann-2")
        ],
        "raw_links": [
            {"link_id": "1", "user_id": "ann", "other_user_id": "ann-2", "linked_at": at.format(0)},
            {"link_id": "2", "user_id": "ann", "anonymous_id": "own", "linked_at": at.format(0)},
            {"link_id": "3", "user_id": "ann", "anonymous_id": "shared", "linked_at": at.format(0)},
            {"link_id": "4", "user_id": "bob", "anonymous_id": "shared", "linked_at": at.format(5)},
        ],
        "raw_events": [
            {"event_id": "a", "anonymous_id": "own", "event_type": "visit", "event_timestamp": at.format(1)},
            {"event_id": "b", "anonymous_id": "shared", "event_type": "visit", "event_timestamp": at.format(2)},
            {"event_id": "c", "anonymous_id": "shared", "event_type": "visit", "event_timestamp": at.format(7)},
            {"event_id": "d", "user_id": " ann-2 ", "event_type": "visit", "event_timestamp": at.format(7)},
            {"event_id": "e", "user_id": "bob", "event_type": "visit", "event_timestamp": at.format(7)},
        ],
        "raw_subscriptions": [
            {"subscription_id": "s", "user_id": "ann-2", "plan_name": "Pro", "mrr": "9", "status": "active"}
            | {"start_date": "2026-01-06"}
        ],
    }


DAY = date(2026, 1, 31)


def test_all_ids_of_a_person_go_and_of_a_shared_device_what_was_theirs(warehouse: Callable[..., Warehouse]) -> None:
    w = warehouse(Batches({DAY: people()}))
    w.run(DAY)
    erase(w.place, w.connection, w.sql, ["ann-2"], RUN)

    assert w.query("select event_id from raw_events order by 1") == [("c",), ("e",)]
    assert w.query("select link_id from raw_links") == [("4",)]
    assert w.query("select user_id from raw_users") == [("bob",)]
    assert w.query("select count(*) from raw_subscriptions") == [(0,)]
    assert w.query("select event_id, user_id from stg_events order by 1") == [("c", "bob"), ("e", "bob")]
    assert cells_that_name(w, {"ann", "ann-2", "own", "ann@x.org", "ann-2@x.org"}) == []

    w.run(DAY)
    assert w.query("select event_id from raw_events order by 1") == [("c",), ("e",)]
    assert w.differences_from_rebuild() == []


def test_the_ledger_says_that_somebody_was_erased(warehouse: Callable[..., Warehouse]) -> None:
    w = warehouse(Batches({DAY: people(), DAY + timedelta(days=200): {}}))
    w.run(DAY)
    w.run(DAY + timedelta(days=200))
    erase(w.place, w.connection, w.sql, ["ann"], RUN)
    assert {c for (c,) in w.query("select cause from restatements")} == {"erased person"}


def test_an_erasure_that_is_killed_is_finished_by_the_next(
    warehouse: Callable[..., Warehouse], monkeypatch: Any
) -> None:
    w = warehouse(Batches({DAY: people()}))
    w.run(DAY)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("growth.warehouse.pipeline.compute", killed)
    with pytest.raises(KeyboardInterrupt):
        erase(w.place, w.connection, w.sql, ["ann"], RUN)
    monkeypatch.undo()
    w.close()
    erase(w.place, w.connection, w.sql, ["ann"], RUN)
    assert w.query("select user_id from dim_user_health") == [("bob",)]
    assert w.differences_from_rebuild() == []


def test_nobody_is_named_in_one_sentence(warehouse: Callable[..., Warehouse]) -> None:
    w = warehouse(Batches({DAY: people()}))
    w.run(DAY)
    with pytest.raises(UserError, match="No raw row has the user id eve: look for it in raw_users"):
        erase(w.place, w.connection, w.sql, ["ann", "eve"], RUN)
    assert w.query("select count(*) from dim_user_health") == [(2,)]
    with pytest.raises(UserError, match="No user is named"):
        asked_for(" , ")
