"""Whatever is broken in what arrives: no good row is lost, each bad one is kept with its reason, nothing falls over.

The corpus is generated (damage.py), from seeds: over a thousand damaged rows, lines and files.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import damage
import pyarrow as pa
import pytest
from damage import DAYS, Arrival, compressed, damaged_bytes, damaged_rows, good_rows
from pyarrow.parquet import write_table
from worlds import Batches, Warehouse, changed_definitions, not_accounted_for

from growth.errors import UserError
from growth.language.raw import RAW_COLUMNS
from growth.language.sql import Sql
from growth.language.tables import tables_of
from growth.sources.mapped.files import Files

SEEDS = (1, 2, 3)
JSON_SEEDS, JSON_LINES = range(10), 30
FILES = {"users.csv": 300, "users.csv.gz": 200, "users.parquet": 300}
LINES_WITH_DAMAGED_BYTES = 200

Place = tuple[str, str, str, int]
"""Table, batch, file and row."""


@pytest.fixture(scope="module")
def lenient() -> Sql:
    """The shipped definitions, but for the share of a batch that may be rejected: here it is most."""
    quality = changed_definitions().quality.model_dump()
    return Sql(changed_definitions(quality=quality | {"max_rejected_rate": 1}))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def as_batches(arrivals: list[Arrival]) -> Batches:
    batches: dict[Any, Any] = defaultdict(lambda: defaultdict(list))
    for day, table, row in arrivals:
        batches[day][table].append(row)
    return Batches(batches)


def marts(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    return {table: warehouse.query(f"select * from {table} order by 1, 2, 3") for table in tables_of("marts")}


def rejects(warehouse: Warehouse) -> dict[Place, tuple[str, dict[str, Any]]]:
    """Reason and content of each rejected row."""
    return {
        tuple(place): (reason, json.loads(content))
        for *place, reason, content in warehouse.query(
            "select table_name, batch_date, source_file, source_row, reject_reason, content from rejects"
        )
    }


def is_accounted_for(warehouse: Warehouse) -> None:
    """Landed is staged, duplicate and rejected, in each batch of each table; and all that landed is still there."""
    assert not_accounted_for(warehouse.connection) == []
    for table, batch, landed in warehouse.query("select table_name, batch_date, rows_landed from batch_accounting"):
        assert warehouse.query(f"select count(*) from {table} where batch_date = ?", batch) == [(landed,)]


def run_whole(warehouse: Warehouse, source: Any) -> Warehouse:
    warehouse.run(min(DAYS), max(DAYS))
    return warehouse


# --- Rows


@pytest.mark.every_engine
@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_rows_are_rejected_with_their_reason_and_content_and_cost_no_good_row(warehouse, lenient, seed):
    rng = Random(seed)
    good = good_rows(rng)
    damaged = list(damaged_rows(rng, good))
    assert len(damaged) > 400
    # Twice the same row is no damage: one of them counts.
    again = [Arrival(max(DAYS), a.table, a.row) for a in rng.sample(good, 40)]
    everything = good + again + [d.arrival for d in damaged]
    rng.shuffle(everything)
    expected: dict[Place, tuple[str, dict[str, Any]]] = {}
    rows = defaultdict(int)
    reasons = {id(d.arrival): d.reason for d in damaged}
    for arrival in everything:
        rows[arrival.day, arrival.table] += 1
        if id(arrival) in reasons:
            place = (arrival.table, str(arrival.day), "test", rows[arrival.day, arrival.table])
            content = {column: arrival.row.get(column) for column in RAW_COLUMNS[arrival.table]}
            expected[place] = (reasons[id(arrival)], content)

    w = warehouse(as_batches(everything), lenient)
    w.run(min(DAYS), max(DAYS))
    clean = warehouse(as_batches(good), lenient)
    clean.run(min(DAYS), max(DAYS))

    found = rejects(w)
    assert {p: found.get(p) for p in expected if found.get(p) != expected[p]} == {}
    assert found.keys() == expected.keys()
    assert rejects(clean) == {}
    assert marts(w) == marts(clean)
    is_accounted_for(w)
    assert w.query("select sum(rows_duplicate) from batch_accounting") == [(len(again),)]
    assert w.query("select check_name from check_results where rows_found > 0 and severity <> 'warn'") == []


@pytest.mark.every_engine(others="prove")
def test_a_corpus_that_arrives_day_by_day_ends_in_the_same(warehouse, lenient):
    rng = Random(4)
    good = good_rows(rng)
    everything = good + [d.arrival for d in damaged_rows(rng, good)]
    rng.shuffle(everything)
    at_once, daily = warehouse(as_batches(everything), lenient), warehouse(as_batches(everything), lenient)
    at_once.run(min(DAYS), max(DAYS))
    for day in DAYS:
        daily.run(day)

    assert daily.differences_from(at_once) == []
    assert daily.differences_from_rebuild() == []
    assert rejects(daily) == rejects(at_once)


@pytest.mark.every_engine
def test_prices_and_texts_at_the_edge_are_either_read_or_rejected(warehouse, lenient):
    """Numbers that no money is, ids of any characters: nothing of it stops a run."""
    prices = ["1e308", "1e309", "1e999", "-0", "0", "0.0", "1e-400", "9" * 400, " 29 ", "29\n", "\t29"]
    names = ["é", "用户", "😀", "a'b", 'a"b', "a;b", "a--b", "{{x}}", "x" * 300, "a\nb", "a\tb"]
    too_long = "x" * 10_000
    day = DAYS[0]
    arrivals = [Arrival(day, "raw_users", damage.signed_up(name, day)) for name in names]
    arrivals += [Arrival(day, "raw_events", damage.event(f"e-{name}", name, "visit", f"{day}")) for name in names]
    for number, price in enumerate(prices):
        row = damage.subscribed(f"s{number}", names[number], day, Random(0))
        arrivals.append(Arrival(day, "raw_subscriptions", row | {"mrr": price, "status": "active"}))
    arrivals.append(Arrival(day, "raw_users", damage.signed_up(too_long, day)))
    # The id of an event may be of any length.
    arrivals.append(Arrival(day, "raw_events", damage.event(f"e-{too_long}", names[0], "visit", f"{day}")))
    w = warehouse(as_batches(arrivals), lenient)
    w.run(day)

    is_accounted_for(w)
    assert {reason for reason, _ in rejects(w).values()} <= {"unreadable price", "no user id", "user id too long"}
    assert w.query("select count(*) from stg_events where length(event_id) > 10000") == [(1,)]
    assert {name for (name,) in w.query("select user_id from dim_user_health")} == set(names) - {"--", "null", "0"}
    assert w.query("select count(*) from stg_subscriptions where mrr > 1e300 and mrr - mrr is null") == [(0,)]


# --- Lines of files

MAPPING = """
files:
  - pattern: "**/users*.csv*"
    arrival: at
    dates: {at: iso}
    feeds:
      - table: raw_users
        columns: {user_id: id, signup_date: {day: at}, email: mail, utm_source: source}
      - table: raw_events
        columns:
          event_id: {template: "signup-{id}"}
          user_id: id
          event_type: {constant: signup}
          event_date: {day: at}
  - pattern: "**/events*.jsonl*"
    arrival: at
    dates: {at: iso}
    feeds:
      - table: raw_events
        columns:
          event_id: id
          user_id: user
          event_type: what
          event_date: {day: at}
          event_timestamp: {moment: at}
"""


def delivery(folder: Path, contents: dict[str, str | bytes]) -> Files:
    folder.mkdir(exist_ok=True)
    (folder.parent / "shop.yaml").write_text(MAPPING, encoding="utf-8")
    for name, content in contents.items():
        if isinstance(content, str):
            content = compressed(content) if name.endswith(".gz") else content.encode()
        (folder / name).write_bytes(content)
    return Files(folder.parent / "shop.yaml", folder)


def users_lines(rng: Random, name: str) -> list[str]:
    """Good lines of a CSV file; every third has a quoted field."""
    lines = []
    for n in range(40):
        at = DAYS[0] + timedelta(days=rng.randrange(10))
        mail = f"last, first {n}" if n % 3 == 0 else f"{n}@example.com"
        lines.append(damage.csv_line([f"{name}-{n}", f"{at}", mail, rng.choice(["google", "ads", ""])]))
    return [*lines, f"{name}-last,{DAYS[10]},,"]


def events_lines(rng: Random, name: str) -> list[dict[str, Any]]:
    kinds = ["visit", "activated", "daily_active"]
    lines = [
        {
            "id": f"{name}-{n}",
            "user": f"a-{rng.randrange(40)}",
            "what": rng.choice(kinds),
            "at": f"{rng.choice(DAYS)}T12:30:00",
        }
        for n in range(40)
    ]
    return [*lines, {"id": f"{name}-last", "user": "a-1", "what": "visit", "at": f"{DAYS[11]}T00:00:00"}]


def mixed(rng: Random, good: list[str], bad: list[str]) -> tuple[str, list[int]]:
    """Good lines in their order with bad ones among them; gives the numbers of the rows that are bad."""
    places = set(rng.sample(range(len(good) + len(bad) - 1), len(bad)))  # the last line is good
    remaining, wrong = iter(good), iter(bad)
    lines = [next(wrong) if n in places else next(remaining) for n in range(len(good) + len(bad))]
    return "\n".join(lines) + "\n", sorted(n + 1 for n in places)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", damage.CSV_DAMAGES, ids=lambda kind: kind.__name__.strip("_"))
def test_damaged_lines_of_csv_cost_no_good_line(tmp_path, warehouse, lenient, kind, seed):
    """Of quotes that are never closed one a file: a second one would close the first, over all lines between them."""
    rng = Random(seed)
    lines = 1 if kind is damage._never_closed else 6
    events = "\n".join(map(json.dumps, events_lines(rng, "e")))
    header = ",".join(damage.FILE_COLUMNS) + "\n"
    damaged, clean = {"events.jsonl": events}, {"events.jsonl": events}
    wrong = set()
    for file in (f"users-{n}.csv" for n in range(12 // lines)):
        good = users_lines(rng, file)
        bad = [kind(rng, [f"b-{n}", f"{rng.choice(DAYS[:10])}", "b@example.com", "ads"]) for n in range(lines)]
        body, places = mixed(rng, good, bad)
        damaged[file], clean[file] = header + body, header + "\n".join(good)
        wrong |= {(table, file, n) for table in ("raw_users", "raw_events") for n in places}

    expect_rejects(
        warehouse, lenient, delivery(tmp_path / "damaged", damaged), delivery(tmp_path / "clean", clean), wrong
    )


@pytest.mark.parametrize("seed", JSON_SEEDS)
def test_damaged_lines_of_json_cost_no_good_line(tmp_path, warehouse, lenient, seed):
    rng = Random(seed)
    users = ",".join(damage.FILE_COLUMNS) + "\n" + "\n".join(users_lines(rng, "a"))
    good = [json.dumps(line) for line in events_lines(rng, "e")]
    bad = [
        damage.damaged_json_line(rng, {"id": f"b-{n}", "user": "a-1", "what": "visit", "at": f"{DAYS[3]}T01:00:00"})
        for n in range(JSON_LINES)
    ]
    body, wrong = mixed(rng, good, bad)

    expect_rejects(
        warehouse,
        lenient,
        delivery(tmp_path / "damaged", {"users.csv.gz": users, "events.jsonl.gz": body}),
        delivery(tmp_path / "clean", {"users.csv.gz": users, "events.jsonl.gz": "\n".join(good)}),
        {("raw_events", "events.jsonl.gz", n) for n in wrong},
    )


def expect_rejects(
    warehouse: Callable[..., Warehouse], sql: Sql, source: Files, clean: Files, wrong: set[tuple[str, str, int]]
) -> None:
    """The rows of the wrong lines are the rejects, and but for them the load is the clean one."""
    w, undamaged = warehouse(source, sql), warehouse(clean, sql)
    w.run(DAYS[0], DAYS[-1])
    undamaged.run(DAYS[0], DAYS[-1])
    found = rejects(w)

    assert {(table, file, row) for table, _, file, row in found} == wrong
    assert marts(w) == marts(undamaged)
    is_accounted_for(w)
    for (table, batch, file, row), (reason, content) in found.items():
        assert reason
        columns = RAW_COLUMNS[table]
        (kept,) = w.query(
            f"select {', '.join(columns)} from {table} where (batch_date, source_file, source_row) = (?, ?, ?)",
            *(batch, file, row),
        )
        assert content == dict(zip(columns, kept, strict=True))


# --- Whole files


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    numbers = range(50)
    columns = {
        "id": [f"p-{n}" for n in numbers],
        "at": [f"{DAYS[n % 10]}" for n in numbers],
        "mail": [None if n % 4 else "a@example.com" for n in numbers],
        "source": pa.array(["ads" if n % 2 else "google" for n in numbers]).dictionary_encode(),
        "more": [[n] for n in numbers],
    }
    write_table(pa.table(columns), sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def csv(rng: Random) -> bytes:
    return (",".join(damage.FILE_COLUMNS) + "\n" + "\n".join(users_lines(rng, "a")) + "\n").encode()


def read_or_refuse(folder: Path, name: str, content: bytes) -> dict[str, Any] | None:
    """What a file holds; None where it was refused in one sentence that names it."""
    mapping = MAPPING.split('  - pattern: "**/events')[0].replace("users*.csv*", name)
    (folder / "shop.yaml").write_text(mapping, encoding="utf-8")
    (folder / "box").mkdir(exist_ok=True)
    (folder / "box" / name).write_bytes(content)
    try:
        source = Files(folder / "shop.yaml", folder / "box")
        (frames,) = source.pieces(source.first_day, source.last_day)
        return frames
    except UserError as error:
        said = str(error)
        assert len(said.splitlines()) == 1
        assert len(said) < 1000
        assert said.endswith(".")
        assert str(folder / "box") in said
        return None


@pytest.mark.parametrize(("name", "files"), FILES.items())
def test_a_damaged_file_is_refused_by_name_or_read(tmp_path, name, files):
    rng = Random(name)
    whole = {"users.csv": csv(rng), "users.csv.gz": compressed(csv(rng).decode()), "users.parquet": parquet()}[name]
    frames = read_or_refuse(tmp_path, name, whole)
    assert frames is not None
    untouched = set(frames["raw_users"]["user_id"])
    refused = 0
    for _ in range(files):
        found = read_or_refuse(tmp_path, name, damaged_bytes(rng, whole))
        if found is None:
            refused += 1
        elif name != "users.csv":
            # What has a checksum is read as it was, or not at all.
            assert set(found["raw_users"]["user_id"]) == untouched
    assert 0 < refused <= files


def test_a_damaged_byte_in_a_line_changes_no_other_line(tmp_path):
    rng = Random(8)
    text = csv(rng).decode()
    header, *lines = text.splitlines()
    clean = read_or_refuse(tmp_path, "users.csv", text.encode())["raw_users"].to_dict("records")
    by_row = {row["source_row"]: row for row in clean}
    for _ in range(LINES_WITH_DAMAGED_BYTES):
        number = rng.randrange(len(lines) - 1)  # not the last, whose day is where unreadable ones land
        line = list(lines[number])
        for _ in range(rng.choice([1, 1, 3])):
            line[rng.randrange(len(line))] = rng.choice("\",;\t\x00\x7f\x1f'\\0é\u2028 ")
        damaged = [*lines[:number], "".join(line), *lines[number + 1 :]]
        found = read_or_refuse(tmp_path, "users.csv", "\n".join([header, *damaged]).encode())["raw_users"]

        assert len(found) == len(lines)
        for row in found.to_dict("records"):
            if row["source_row"] != number + 1:
                assert row == by_row[row["source_row"]], line


def test_files_of_another_kind_are_refused_by_name(tmp_path):
    rng = Random(9)
    text = csv(rng).decode()
    others = {
        "UTF-16": text.encode("utf-16"),
        "Latin-1": text.replace("google", "Müller").encode("latin-1"),
        "Parquet": parquet(),
        "gzip": compressed(text),
        "ZIP": b"PK\x03\x04" + rng.randbytes(500),
        "an image": b"\x89PNG\r\n\x1a\n" + rng.randbytes(500),
        "noise": rng.randbytes(2000),
        "HTML": b"<html><body>Please log in</body></html>\n" * 20,
        "JSON": b'{"id": 1}\n' * 20,
        "semicolons": text.replace(",", ";").encode(),
        "no header": text.split("\n", 1)[1].encode(),
        "header only": text.split("\n", 1)[0].encode(),
        "other columns": text.replace("mail", "e-mail", 1).encode(),
        "nothing": b"",
        "blanks": b" \n\n \n",
        "zeros": bytes(5000),
    }
    for what, content in others.items():
        assert read_or_refuse(tmp_path, "users.csv", content) is None, what


def test_the_corpus_is_as_large_as_promised():
    rows = sum(len(values) for *_, values in damage.DAMAGES) * len(SEEDS)
    lines = len(damage.CSV_DAMAGES) * len(SEEDS) * 12 + len(JSON_SEEDS) * JSON_LINES
    files = sum(FILES.values()) + LINES_WITH_DAMAGED_BYTES

    assert min(rows, files) >= 1000
    assert rows + lines + files > 2500
