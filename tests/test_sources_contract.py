"""What general code may expect of every source."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from worlds import Batches

from growth.errors import UserError
from growth.sources import MAPPINGS, OWN_SOURCES, archives_to_erase
from growth.sources.contract import Archive, Source
from growth.sources.together import Together

PLUGINS = Path(__file__).parents[1] / "plugins" / "growth"
DAY = date(2025, 1, 1)


class Kept(Archive):
    """An archive of nothing."""

    table, remedy = "raw_subscriptions", "find it"

    def __init__(self, source: str) -> None:
        self.source = source

    @property
    def is_empty(self) -> bool:
        return True

    def forget(self, ids: Collection[str]) -> int:
        return len(ids)


class WithArchive(Batches):
    name = "stripe_api"

    @property
    def archives(self) -> list[Archive]:
        return [Kept(self.name)]


def days_of(source: Source, rows: int, yesterday: date) -> set[str]:
    return {
        day
        for sample in source.sample(rows, yesterday)
        for piece in sample.pieces
        for day in piece["raw_users"].batch_date
    }


def users(day: date, number: int) -> dict[date, Any]:
    return {day: {"raw_users": [{"user_id": f"u{n}"} for n in range(number)]}}


def test_no_code_outside_the_sources_names_one() -> None:
    names = {*OWN_SOURCES, *(path.stem for path in MAPPINGS.glob("*.yaml"))} - {"synthetic"}
    for path in PLUGINS.rglob("*.py"):
        if "sources" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert re.findall(rf"(?i)(?<![a-z])(?:{'|'.join(names)})(?![a-z])", text) == [], path


def test_an_erasure_needs_every_archive_of_a_source_that_has_landed() -> None:
    events, subscriptions = Batches(users(DAY, 1)), WithArchive(users(DAY, 1))
    both = Together({"segment": events, "stripe_api": subscriptions})

    assert [archive.source for archive in archives_to_erase(both, [both.name])] == ["stripe_api"]
    assert archives_to_erase(events, ["segment", "synthetic (seed 1, scale 1)"]) == []
    for landed in ("stripe_api", "segment,stripe_api"):
        with pytest.raises(UserError, match="name it, with SOURCE=stripe_api"):
            archives_to_erase(events, [landed])


def test_a_sample_covers_the_first_days_and_the_latest_whole_day_at_most() -> None:
    source = Batches(users(DAY, 3) | users(date(2025, 1, 20), 3) | users(date(2025, 3, 1), 3))

    assert days_of(source, 100, date(2025, 12, 31)) == {"2025-01-01", "2025-01-20"}
    assert days_of(source, 100, date(2025, 1, 10)) == {"2025-01-01"}
    assert days_of(source, 2, date(2025, 12, 31)) == {"2025-01-01"}


def test_a_source_without_its_pieces_is_no_source() -> None:
    class Half(Source):
        name = "half"

    with pytest.raises(TypeError, match="pieces"):
        Half()


def test_samples_of_several_sources_tell_their_files_apart() -> None:
    both = Together({name: Batches(users(DAY, 1)) for name in "ab"})
    files = {f for sample in both.sample(10, DAY) for piece in sample.pieces for f in piece["raw_users"].source_file}

    assert files == {"a/test", "b/test"}
