"""Several sources as one: events from one, subscriptions from another."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from growth.sources import Source

if TYPE_CHECKING:
    import pandas as pd


class Together:
    """The Source of all batches of several others. A batch has the rows that arrived on its day, from whichever it was.

    Their `source_file` begins with the name of the source, so that files of the same name stay apart.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sorted(sources.items()))
        self.name = ",".join(source.name for source in self.sources.values())

    @property
    def first_day(self) -> date:
        return min(source.first_day for source in self.sources.values())

    @property
    def last_day(self) -> date | None:
        days = [source.last_day for source in self.sources.values()]
        return None if None in days else max(days)

    @property
    def keeps_nothing(self) -> bool:
        """Whether a source that keeps what it was told has nothing of it."""
        return any(getattr(source, "keeps_nothing", False) for source in self.sources.values())

    def forget(self, ids: Collection[str]) -> int:
        """Take what some ids name out of what sources have kept; gives how much went."""
        return sum(source.forget(ids) for source in self.sources.values() if hasattr(source, "forget"))

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, as `growth.sources.Source` says."""
        for name, source in self.sources.items():
            for piece in source.pieces(first, last):
                yield prefixed(name, piece)


def prefixed(name: str, piece: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """A piece whose files are told apart from those of other sources."""
    return {
        table: frame.assign(source_file=[f"{name}/{file}" for file in frame["source_file"]])
        for table, frame in piece.items()
    }
