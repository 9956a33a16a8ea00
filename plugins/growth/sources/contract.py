"""What every source offers. A source hands out whole batches: the rows that arrived on a day.

Rows are text as it came and nothing is refused: staging rejects malformed rows with their reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# A sample of a source without files covers its first days.
_SAMPLE_DAYS = timedelta(days=30)


class Source(ABC):
    """A place that batches come from."""

    name: str
    """What the warehouse remembers: sources with different names never share a warehouse."""

    first_day: date
    """The first day that has a batch."""

    last_day: date | None
    """The last day that has a batch; None if every whole day has one."""

    @abstractmethod
    def pieces(self, first: date, last: date) -> Iterator[Mapping[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, in pieces that fit into memory.

        A piece has a frame for some or all tables of RAW_COLUMNS, with the columns of ARRIVAL_COLUMNS and then those of
        the table: batch_date as ISO text, source_row as int, all others text or None. It may have one of UNMAPPED too.
        A batch does not depend on the days that are read with it. Raises UserError, possibly after some pieces, which
        the caller must then discard.
        """

    def sample(self, rows: int, yesterday: date) -> list[Sample]:
        """About so many rows to look at, without a lasting effect. Yesterday is the last whole day."""
        last = min(self.last_day or yesterday, self.first_day + _SAMPLE_DAYS)
        pieces = []
        for piece in self.pieces(self.first_day, max(self.first_day, last)):
            pieces.append({table: frame.head(rows) for table, frame in piece.items()})
            rows -= max(len(frame) for frame in piece.values())
            if rows <= 0:
                break
        return [Sample(pieces)]

    @property
    def archives(self) -> list[Archive]:
        """What the source keeps outside the warehouse."""
        return []


@dataclass(frozen=True)
class Sample:
    """Some rows of one source, and what became of the rows that were read for them."""

    pieces: list[Mapping[str, pd.DataFrame]]
    files: Mapping[str, Counter[str]] = field(default_factory=dict)
    """For each file, how many rows were read (`rows`), landed in each table, `unmapped`, or `left out`."""
    missing: list[tuple[str, str]] = field(default_factory=list)
    """The patterns of files and the fields that the mapping reads there but no row had."""


class Archive(ABC):
    """What a source was told once and cannot ask for again, kept outside the warehouse."""

    source: str
    """The name of the source that keeps it."""
    table: str
    """The raw table that it fills."""
    remedy: str
    """What an operator does if the archive has been lost."""

    @property
    @abstractmethod
    def is_empty(self) -> bool: ...

    @abstractmethod
    def forget(self, ids: Collection[str]) -> int:
        """Remove what belongs to these people, and return how many objects that were."""
