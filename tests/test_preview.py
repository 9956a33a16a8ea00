"""make preview: what a sample would become, and that nothing is written."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from exports import lines_of, segment_logs
from segment_export import write

from growth.commands import preview
from growth.errors import UserError


@pytest.fixture
def page(capsys: pytest.CaptureFixture):
    def show(name: str, place: object, **more: str) -> list[str]:
        environment = {"SAAS_GROWTH_SOURCE": name, "SAAS_GROWTH_SOURCE_PATH": str(place), **more}
        assert preview.preview(environment) == 0
        out = capsys.readouterr().out
        assert out.isascii()
        lines = out.splitlines()
        assert max(map(len, lines)) <= 100
        return lines

    return show


def row_of(lines: list[str], start: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(start))
    return re.split(r" {2,}", found)


def section(lines: list[str], title: str) -> list[str]:
    """The rows of the table below a title."""
    start = next(n for n, line in enumerate(lines) if line.startswith(title))
    rule = next(n for n in range(start, len(lines)) if lines[n].startswith("---"))
    end = next((n for n in range(rule, len(lines)) if not lines[n]), len(lines))
    return lines[rule + 1 : end]


@pytest.fixture
def segment(tmp_path: Path, shared_data: Path) -> Path:
    calls = lines_of(shared_data / "data/sources/segment/segment_logs_spec.jsonl")
    calls.append(calls[1] | {"messageId": "m-\u00e9", "event": "Caf\u00e9 opened" + "!" * 200})
    calls.append(calls[3] | {"messageId": None})
    return segment_logs(tmp_path / "place", calls)


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_files_become(page, segment, tmp_path):
    before = everything_below(tmp_path)
    lines = page("segment", segment)

    assert everything_below(tmp_path) == before
    assert lines[0].startswith("Preview of segment: ")
    assert "Nothing was written." in lines[0]
    assert lines[1] == "They arrived from 2025-01-01 to 2025-01-04."
    files = [re.split(r" {2,}", line) for line in section(lines, "Which file feeds which table")]
    assert files[0][0] == "...5948800000/1736000000000.gz"
    # rows, raw_users, raw_events, raw_links, no rule, left out
    assert files[2][1:] == ["8", "0", "5", "2", "0", "1"]
    assert files[3][1:] == ["7", "1", "5", "1", "1", "0"]
    assert row_of(lines, "raw_events: 3 of 11 rows")
    shown = {line.split()[0]: re.split(r" {2,}", line)[1:] for line in section(lines, "raw_events: 3 of")}
    assert shown["event_type"] == ["visit", "signup", "activated"]
    assert shown["event_id"] == ["m-01", "m-02", "m-04"]
    unmapped = section(lines, "Events that no rule maps")
    assert [line.split()[-1] for line in unmapped] == ["1", "1"]
    assert unmapped[0].startswith("Caf\\xe9 opened!!!")
    assert unmapped[1].startswith("Invoice Paid ")
    assert section(lines, "Fields that the mapping reads and no row had") == [
        "properties.feature   segment-logs/*/{day_ms}/*.gz"
    ]
    assert row_of(lines, "raw_events: no event id")[1:3] == ["1", "9.1 %"]


def test_it_protects_addresses_as_a_run_does(page, segment):
    assert any("Ada@Example.com" in line for line in page("segment", segment))
    assert not any("Ada@" in line for line in page("segment", segment, SAAS_GROWTH_EMAILS="drop"))


def test_it_reads_no_more_than_a_sample(page, tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "ROWS", 1_000)
    write(30_000, tmp_path, days=2)
    for path in tmp_path.rglob("*.gz"):  # whose end is not reached
        path.write_bytes(path.read_bytes()[:-1000])

    lines = page("segment", tmp_path)

    files = section(lines, "Which file feeds which table")
    assert len(files) == 1  # the latest
    assert re.split(r" {2,}", files[0])[1] == "1,000"


def test_a_row_whose_arrival_does_not_read_is_in_the_sample(page, tmp_path):
    rows = [{"event": "Page View", "properties": {"time": 1735732800, "distinct_id": f"u{n}",
             "mp_processing_time_ms": 1735732800000}} for n in range(5)]  # fmt: skip
    del rows[1]["properties"]["mp_processing_time_ms"]
    rows[1]["properties"]["time"] = "soon"
    (tmp_path / "1.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))

    assert row_of(page("mixpanel", tmp_path), "raw_events: unreadable event date")[1:] == [
        "1",
        "20.0 %",
        "1.jsonl.gz row 2",
    ]


def test_several_sources_and_one_that_has_no_files(page, segment):
    lines = page("segment,synthetic", f"segment={segment}", SAAS_GROWTH_SCALE="0.05")

    assert lines[0].startswith("Preview of segment,synthetic (seed 1, scale 0.05)")
    assert any("5948800000/1736000000000.gz" in line for line in lines)


def test_files_of_which_no_row_counts(segment):
    for path in segment.rglob("*.gz"):
        path.write_bytes(gzip.compress(b'{"type": "screenshot", "messageId": "x"}\n'))

    with pytest.raises(UserError, match="gave no row that its mapping accepts"):
        preview.preview({"SAAS_GROWTH_SOURCE": "segment", "SAAS_GROWTH_SOURCE_PATH": str(segment)})
