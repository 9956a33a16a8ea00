"""Several sources as one: events from one, subscriptions from another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from growth.sources.contract import Archive, Sample, Source

if TYPE_CHECKING:
    import pandas as pd


class Together(Source):
    """The Source of all batches of several others.

    Each `source_file` begins with the name of its source, so that files of the same name stay apart.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sorted(sources.items()))
        self.name = ",".join(source.name for source in self._sources.values())

    @property
    def first_day(self) -> date:
        return min(source.first_day for source in self._sources.values())

    @property
    def last_day(self) -> date | None:
        days = [source.last_day for source in self._sources.values()]
        return None if None in days else max(days)

    @property
    def archives(self) -> list[Archive]:
        return [archive for source in self._sources.values() for archive in source.archives]

    def pieces(self, first: date, last: date) -> Iterator[Mapping[str, pd.DataFrame]]:
        for name, source in self._sources.items():
            for piece in source.pieces(first, last):
                yield _prefixed(name, piece)

    def sample(self, rows: int, yesterday: date) -> list[Sample]:
        return [
            Sample(
                [_prefixed(name, piece) for piece in sample.pieces],
                {f"{name}/{file}": counts for file, counts in sample.files.items()},
                sample.missing,
            )
            for name, source in self._sources.items()
            for sample in source.sample(rows, yesterday)
        ]


def _prefixed(name: str, piece: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {
        table: frame.assign(source_file=[f"{name}/{file}" for file in frame["source_file"]])
        for table, frame in piece.items()
    }
