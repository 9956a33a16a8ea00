"""Segment's calls, through the mapping that ships: the numbers that the samples' README names."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import pytest
from exports import changed, land, lines_of, segment_logs, shipped
from worlds import Warehouse

from growth.language.raw import RAW_COLUMNS
from growth.sources.mapped.files import Files

DAYS = (date(2025, 1, 1), date(2025, 1, 4))
RUDDER_DAY = date(2023, 5, 12)


@pytest.fixture(scope="module")
def segment(shared_data: Path) -> Path:
    return shared_data / "data" / "sources" / "segment"


@pytest.fixture
def landed(tmp_path: Path, segment: Path, warehouse) -> Warehouse:
    calls = lines_of(segment / "segment_logs_spec.jsonl")
    w = warehouse(shipped("segment", segment_logs(tmp_path, calls)))
    land(w, *DAYS)
    return w


def raw(w: Warehouse) -> dict[str, list[tuple]]:
    """What landed, whichever file and row it came from."""
    return {
        table: w.query(
            f"select batch_date, {', '.join(columns)} from {table} order by {', '.join(columns)}, batch_date"
        )
        for table, columns in RAW_COLUMNS.items()
    }


def test_the_spec_gives_its_14_message_ids(landed, segment):
    ids = {
        found
        for table, key in (("raw_events", "event_id"), ("raw_links", "link_id"))
        for (found,) in landed.query(f"select {key} from {table}")
    }
    calls = lines_of(segment / "segment_logs_spec.jsonl")
    # The robot of m-13 is left out, and nobody's device is named in m-14, whose event has no rule.
    assert ids == {call["messageId"] for call in calls} - {"m-13", "m-14"}
    assert len(ids) == 14 - 2
    assert landed.query("select event_name, sum(rows_seen) from unmapped_events group by 1") == [("Invoice Paid", 1)]


def test_the_spec_gives_its_calls_by_kind(landed):
    """Of 9 track calls m-14 has no rule; of 3 pages one is a robot's."""
    kinds = Counter(kind for (kind,) in landed.query("select event_type from raw_events"))
    assert kinds == {"visit": 3 - 1, "signup": 1, "activated": 3, "feature_used": 4}
    assert sum(kinds.values()) == 9 - 1 + 3 - 1
    assert landed.query("select user_id, signup_date, email from raw_users") == [
        ("u-1", "2025-01-01T10:05:00", "Ada@Example.com")
    ]
    links = landed.query("select link_id, user_id, anonymous_id, other_user_id from raw_links order by 1")
    assert links == [
        ("m-03", "u-1", "anon-A", None),
        ("m-09", "u-3", "anon-B", None),
        ("m-10", "u-3", "anon-C", "anon-C"),
    ]


def test_a_message_that_was_sent_twice_has_one_id(landed):
    assert landed.query("select count(*) from raw_events where event_id = 'm-04'") == [(2,)]
    assert landed.query(
        f"select count(distinct event_id) from ({landed.sql.typed('raw_events')}) as typed where reject_reason is null"
    ) == [(9,)]


def test_the_batch_is_the_day_of_receipt_and_the_moment_is_corrected(landed):
    assert landed.query("select event_id, batch_date, event_timestamp from raw_events where event_id in"
                        " ('m-01', 'm-05', 'm-06') order by 1") == [
        ("m-01", "2025-01-01", "2025-01-01T10:00:00.200000"),
        ("m-05", "2025-01-04", "2025-01-01T23:59:30"),
        ("m-06", "2025-01-02", "2025-01-02T08:59:50"),
    ]  # fmt: skip


def test_without_segments_timestamp_the_device_clock_is_corrected_here(tmp_path, segment, warehouse):
    calls = lines_of(segment / "segment_logs_spec.jsonl")
    moments = []
    for name, some in (("given", calls), ("made", [{k: v for k, v in c.items() if k != "timestamp"} for c in calls])):
        w = warehouse(shipped("segment", segment_logs(tmp_path / name, some)))
        land(w, *DAYS)
        moments.append(w.query("select event_id, event_timestamp from raw_events order by 1, source_row"))
    assert moments[0] == moments[1]


def test_landed_twice_or_cut_and_shuffled_it_gives_the_same(tmp_path, segment, warehouse, landed):
    before = raw(landed)
    land(landed, *DAYS)
    assert raw(landed) == before
    calls = lines_of(segment / "segment_logs_spec.jsonl")
    rng = Random(5)
    other = warehouse(shipped("segment", segment_logs(tmp_path / "other", calls, rng, parts=2)))
    for day in rng.sample([date(2025, 1, day) for day in range(1, 5)], 4):
        land(other, day)
    assert raw(other) == before


def test_a_whole_run_is_what_a_rebuild_gives_and_visits_join_who_signed_up_later(tmp_path, segment, warehouse):
    w = warehouse(shipped("segment", segment_logs(tmp_path, lines_of(segment / "segment_logs_spec.jsonl"))))
    for day in range(1, 5):
        w.run(date(2025, 1, day))

    assert w.differences_from_rebuild() == []
    whose = dict(w.query("select event_id, user_id from stg_events where event_id in ('m-01', 'm-07')"))
    assert whose == {"m-01": "u-1", "m-07": "u-2"}  # before she signed up, and between two users of one device
    assert w.query("select visitors, signups, activated from fct_acquisition_funnel") == [(2, 1, 1)]


@pytest.fixture
def rudder(tmp_path: Path, segment: Path) -> Path:
    return segment_logs(tmp_path / "rudder", lines_of(segment / "rudder_events_1.jsonl"))


def test_rudder_gives_its_published_rows(rudder, warehouse):
    """4 of each kind; nobody has a createdAt, and no call an anonymousId, so that neither is a signup or a sighting."""
    w = warehouse(shipped("segment", rudder))
    for _ in range(2):  # append mode would give 8 of each
        w.run(RUDDER_DAY)
        kinds = w.query("select event_type, count(*) from raw_events group by 1")
        assert kinds == [("visit", 4 + 4)]  # pages and screens
        assert w.query("select event_name, rows_seen from unmapped_events") == [("Product Track", 4)]
        assert w.query("select count(*) from raw_links where other_user_id like 'gbelson+%'") == [(4,)]  # aliases
        assert w.query("select count(*) from raw_links") == [(4,)]
        assert w.query("select count(*) from raw_users") == [(0,)]


def test_rudder_gives_its_published_user_where_an_identify_is_a_signup(rudder, tmp_path, warehouse):
    """4 identifies of 1 user, who is as the last one says."""

    def every_identify(mapping):
        mapping["files"][0]["dates"]["created"] = {"column": "receivedAt", "format": "iso"}
        for feed in mapping["files"][0]["feeds"]:
            if feed["table"] == "raw_events" and "rules" in feed:
                feed["rules"].append({"event": "Product Track", "type": "daily_active"})

    source = Files(changed("segment", tmp_path / "mappings", every_identify), rudder)
    w = warehouse(source)
    for _ in range(2):
        w.run(RUDDER_DAY)
        assert w.query("select count(*) from raw_users") == [(4,)]
        assert w.query("select user_id, email from stg_users") == [("user-1", "rhedricks+4@example.com")]
        assert w.query("select count(*) from raw_events where event_type = 'daily_active'") == [(4,)]
