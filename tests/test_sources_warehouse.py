"""Tables of warehouses as CSV: Segment's own, and those of Fivetran's connectors. No result of theirs is published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from exports import changed, land
from worlds import Warehouse

from growth.sources.mapped.files import Files


def any_event(mapping: Any) -> None:
    for feed in mapping["files"][0]["feeds"]:
        if "rules" in feed:
            feed["rules"].append({"event": "*", "type": "daily_active"})


@pytest.fixture
def landed(tmp_path: Path, shared_data: Path, warehouse):
    def act(name: str, sample: str) -> Warehouse:
        (tmp_path / "place").mkdir()
        shutil.copy(shared_data / "data/sources" / sample, tmp_path / "place")
        source = Files(changed(name, tmp_path / "mappings", any_event), tmp_path / "place")
        w = warehouse(source)
        for _ in range(2):  # the second time gives the same
            land(w, source.first_day, source.last_day)
        return w

    return act


def test_a_page_of_segments_warehouse(landed):
    w = landed("segment_warehouse", "segment/warehouse_pages_1row.csv")

    names = "batch_date, user_id, anonymous_id, event_type, event_timestamp, utm_source"
    assert w.query(f"select {names} from raw_events") == [
        ("2015-02-23", "97980cfea0067", "507f191e810c19729de860ea", "visit", "2015-02-23T22:28:55", "facebook")
    ]


def test_events_of_amplitude_by_fivetran(landed):
    w = landed("amplitude_fivetran", "amplitude/fivetran_event_data.csv")

    counted = "select count(*), count(distinct event_id), count(distinct user_id), count(distinct anonymous_id)"
    assert w.query(f"{counted} from raw_events") == [(10, 10, 7, 3)]
    # 5 happen after they were uploaded: one on the same day and one on the next, which counts.
    assert w.query(
        f"select reject_reason, count(*) from ({w.sql.typed('raw_events')}) as typed"
        " where reject_reason is not null group by 1"
    ) == [("event date in the future", 3)]


def test_events_of_mixpanel_by_fivetran(landed):
    w = landed("mixpanel_fivetran", "mixpanel/fivetran_event.csv")

    assert w.query("select count(*), count(distinct event_id) from raw_events") == [(5, 5)]
    assert w.query("select min(event_timestamp), max(event_timestamp) from raw_events") == [
        ("2020-08-01T10:16:46", "2025-02-27T08:58:02")
    ]
