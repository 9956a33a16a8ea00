"""Amplitude's and Mixpanel's exports, through the mappings that ship: the numbers that the samples' README names."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from exports import changed, json_lines, land, lines_of, shipped
from worlds import Warehouse

from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.files import Files


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> Path:
    return shared_data / "data" / "sources"


def landed(warehouse: Callable[..., Warehouse], source: Files, singly: Random | None = None) -> Warehouse:
    """All of a source, in one go or day by day in any order."""
    w = warehouse(source)
    first, last = source.first_day, source.last_day
    if singly is None:
        land(w, first, last)
        return w
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for day in singly.sample(days, len(days)):
        land(w, day)
    return w


def raw(w: Warehouse) -> dict[str, list[tuple]]:
    """What landed, whichever file and row it came from."""
    found = {}
    for table, columns in RAW_COLUMNS.items():
        names = ", ".join(("batch_date", *columns))
        found[table] = w.query(f"select {names} from {table} order by {names}")
    return found


def any_event(mapping: Any) -> None:
    """Every event that no rule maps is one of activity."""
    for feed in mapping["files"][0]["feeds"]:
        if "rules" in feed:
            feed["rules"].append({"event": "*", "type": "daily_active"})


# --- Amplitude


@pytest.fixture
def amplitude(tmp_path: Path, samples: Path) -> Path:
    for name, folder in (("export_spec.jsonl", "events"), ("merged_ids_spec.jsonl", "merged_ids")):
        (tmp_path / "place" / folder).mkdir(parents=True)
        shutil.copy(samples / "amplitude" / name, tmp_path / "place" / folder)
    return tmp_path / "place"


def test_amplitude_gives_13_ids_of_14_lines(amplitude, tmp_path, warehouse):
    w = landed(warehouse, Files(changed("amplitude", tmp_path / "mappings", any_event), amplitude))

    assert w.query("select count(*), count(distinct event_id) from raw_events") == [(14, 13)]
    assert w.query("select count(distinct user_id) from raw_events") == [(3,)]
    ids = w.query("select distinct anonymous_id from raw_events order by anonymous_id + 0")
    assert ids == [("6",), ("7",), ("8",), ("9",), ("10",)]
    assert w.query(f"select reject_reason, count(*) from ({w.sql.typed('raw_events')}) as typed group by 1") == [
        (None, 14)
    ]


def test_amplitudes_two_orders_of_one_insert_id_are_two(amplitude, tmp_path, warehouse):
    w = landed(warehouse, Files(changed("amplitude", tmp_path / "mappings", any_event), amplitude))

    ids = [found for (found,) in w.query("select event_id from raw_events where event_id like '%Order Submitted%'")]
    assert sorted(ids) == ["srv-1:Order Submitted:1", "srv-2:Order Submitted:1"]


def test_amplitude_as_it_ships_maps_what_is_activity(amplitude, warehouse):
    w = landed(warehouse, shipped("amplitude", amplitude))

    kinds = w.query("select event_type, count(*) from raw_events group by 1 order by 1")
    assert kinds == [("daily_active", 7), ("signup", 1), ("visit", 2)]
    unmapped = dict(w.query("select event_name, sum(rows_seen) from unmapped_events group by 1"))
    assert unmapped == {"session_start": 1, "Order Submitted": 2, "Daily Ad Metrics": 1}
    assert sum(unmapped.values()) + 10 == 14
    assert w.query("select user_id, signup_date, utm_source, utm_campaign from raw_users") == [
        ("david", "2025-01-01T12:01:00", "google", "spring")
    ]
    assert w.query("select utm_source from raw_events where event_id = 'dev-Z:a-3'") == [(None,)]  # EMPTY
    assert w.query("select anonymous_id, other_anonymous_id from raw_links where user_id is null") == [("8", "9")]


def test_amplitude_arrives_by_upload_and_happens_by_event_time(amplitude, warehouse):
    w = landed(warehouse, shipped("amplitude", amplitude))

    late = w.query("select batch_date, event_timestamp from raw_events where event_id like '%000000000013'")
    assert late == [("2025-01-25", "2025-01-05T10:15:32.458000")]


@pytest.mark.parametrize(
    ("sent", "moment"), [("11:59:01", "10:00:00"), ("11:00:00", "11:00:00"), ("12:02:00", "09:58:00")]
)
def test_amplitudes_clock_is_corrected_from_60_seconds_on(tmp_path, samples, warehouse, sent, moment):
    """Where the export lacks event_time: received at 12:00:00 what the device says that it sent then."""
    received = "2025-01-01 12:00:00.000000"
    call = lines_of(samples / "amplitude/export_spec.jsonl")[1] | {
        "event_time": None,
        "client_event_time": "2025-01-01 10:00:00.000000",
        "client_upload_time": f"2025-01-01 {sent}",
        "server_received_time": received,
        "server_upload_time": received,
    }
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "1.json").write_bytes(json_lines([call]))

    w = landed(warehouse, shipped("amplitude", tmp_path))

    assert w.query("select event_timestamp from raw_events") == [(f"2025-01-01T{moment}",)]


def test_amplitude_landed_twice_or_cut_and_shuffled_gives_the_same(amplitude, tmp_path, samples, warehouse):
    w = landed(warehouse, shipped("amplitude", amplitude))
    before = raw(w)
    land(w, w.source.first_day, w.source.last_day)
    assert raw(w) == before
    rng = Random(3)
    calls = lines_of(samples / "amplitude/export_spec.jsonl")
    rng.shuffle(calls)
    shutil.copytree(amplitude, tmp_path / "cut")
    (tmp_path / "cut/events/export_spec.jsonl").unlink()
    for part in range(4):
        (tmp_path / f"cut/events/{part}.json").write_bytes(json_lines(calls[part::4]))

    assert raw(landed(warehouse, shipped("amplitude", tmp_path / "cut"), rng)) == before


# --- Mixpanel


@pytest.fixture
def mixpanel(tmp_path: Path, samples: Path) -> Path:
    (tmp_path / "place").mkdir()
    shutil.copy(samples / "mixpanel/export_spec.jsonl", tmp_path / "place")
    return tmp_path / "place"


def test_mixpanels_query_rule_gives_13_of_14_lines(mixpanel, warehouse):
    w = landed(warehouse, shipped("mixpanel", mixpanel))

    ids = Counter(found for (found,) in w.query("select event_id from raw_events"))
    links = [found for (found,) in w.query("select link_id from raw_links")]
    (unmapped,) = w.query("select sum(rows_seen) from unmapped_events")[0]
    assert sum(ids.values()) + len(links) + unmapped == 14
    assert len(ids) + len(links) + unmapped == 13
    assert len(links) == 3  # $identify, $create_alias, $merge
    assert [name for name, times in ids.items() if times > 1] == ["Report Viewed|1735732920|U1|i-03"]


def test_mixpanels_ids_and_times(mixpanel, warehouse):
    w = landed(warehouse, shipped("mixpanel", mixpanel))

    devices = w.query(
        "select user_id, anonymous_id from raw_events where event_id like '%i-07' or event_id like '%i-08'"
    )
    assert devices == [(None, "D2")] * 2  # one of them is $device:$device:D2
    last = w.query("select user_id, event_timestamp, batch_date from raw_events where event_id like '%i-14'")
    assert last == [("U3", "2025-01-01T12:10:00", "2025-01-01")]  # written in milliseconds
    links = w.query("select user_id, anonymous_id, other_user_id, other_anonymous_id from raw_links order by link_id")
    assert links == [
        ("U2", "u2@example.com", "u2@example.com", None),
        ("U2", "11111111-1111-4111-8111-111111111111", None, None),
        ("U2", "22222222-2222-4222-8222-222222222222", "22222222-2222-4222-8222-222222222222", "U2"),
    ]


def test_an_import_of_old_times_arrives_when_it_was_processed(mixpanel, tmp_path, warehouse):
    w = landed(warehouse, Files(changed("mixpanel", tmp_path / "mappings", any_event), mixpanel))

    old = w.query("select event_timestamp, batch_date from raw_events where event_id like '%i-12'")
    assert old == [("2024-03-07T12:00:00", "2025-01-01")]
    nobody = w.query(f"select reject_reason from ({w.sql.typed('raw_events')}) as typed where event_id like '%i-13'")
    assert nobody == [("no user id",)]  # an empty distinct_id


def test_a_zone_makes_moments_of_mixpanels_local_time(mixpanel, tmp_path, warehouse):
    """Projects from before 2023 write their wall time as if it were UTC."""

    def in_new_york(mapping: Any) -> None:
        mapping["files"][0]["dates"]["happened"]["zone"] = "America/New_York"

    w = landed(warehouse, Files(changed("mixpanel", tmp_path / "mappings", in_new_york), mixpanel))

    found = w.query("select event_timestamp, batch_date from raw_events where event_id like '%i-02'")
    assert found == [("2025-01-01T17:01:00", "2025-01-01")]


def test_mixpanels_own_examples_land_and_are_nobodys(tmp_path, samples, warehouse):
    """None of the 4 has a distinct_id."""
    shutil.copy(samples / "mixpanel/export_vendor_examples.jsonl", tmp_path)
    w = landed(warehouse, shipped("mixpanel", tmp_path))

    assert w.query("select event_type, count(*) from raw_events group by 1") == [("signup", 2)]
    assert w.query(f"select reject_reason, count(*) from ({w.sql.typed('raw_events')}) as typed group by 1") == [
        ("no user id", 2)
    ]
    assert w.query("select event_name, rows_seen from unmapped_events order by 1") == [("test", 1), ("test_2", 1)]


def test_mixpanel_landed_twice_or_cut_and_shuffled_gives_the_same(mixpanel, tmp_path, samples, warehouse):
    w = landed(warehouse, shipped("mixpanel", mixpanel))
    before = raw(w)
    land(w, w.source.first_day, w.source.last_day)
    assert raw(w) == before
    rng = Random(4)
    calls = lines_of(samples / "mixpanel/export_spec.jsonl")
    rng.shuffle(calls)
    (tmp_path / "cut").mkdir()
    for part in range(3):
        (tmp_path / f"cut/{part}.jsonl").write_bytes(json_lines(calls[part::3]))

    assert raw(landed(warehouse, shipped("mixpanel", tmp_path / "cut"), rng)) == before


def test_a_whole_run_of_each_is_what_a_rebuild_gives(amplitude, samples, tmp_path, warehouse):
    (tmp_path / "mixpanel").mkdir()
    shutil.copy(samples / "mixpanel/export_spec.jsonl", tmp_path / "mixpanel")
    for name, place in (("amplitude", amplitude), ("mixpanel", tmp_path / "mixpanel")):
        source = shipped(name, place)
        w = warehouse(source)
        w.run(source.first_day, source.last_day)
        assert w.differences_from_rebuild() == []
