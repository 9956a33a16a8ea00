"""A batch of subscriptions as rows of the raw tables, for sources that put a subscription's history together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


class State(NamedTuple):
    """What holds of a subscription from a moment on: the columns of raw_subscriptions without that moment."""

    subscription_id: str | None
    user_id: str | None
    plan_name: str | None
    start_date: str | None
    end_date: str | None
    mrr: str | None
    status: str | None
    currency: str | None


class Since(NamedTuple):
    """A state and the moment from which it holds, in milliseconds since 1970-01-01 UTC (None: unknown)."""

    state: State
    starts_ms: int | None

    def row(self) -> tuple[str | None, ...]:
        """A row of raw_subscriptions."""
        return (*self.state, None if self.starts_ms is None else iso(self.starts_ms))

    def no_later_than(self, ms: int) -> Since:
        return self._replace(starts_ms=self.starts_ms and min(self.starts_ms, ms))


class SubscriptionBatch:
    """The rows of one batch, while they are collected. A row is named by its file and an object's number there.

    `source_row` is the number times ten plus the number of the state, since an object may tell of several states.
    """

    def __init__(self, day: date) -> None:
        self.day = day
        self._rows: list[tuple[Any, ...]] = []
        self._states: Counter[tuple[str, int]] = Counter()
        self._links: dict[str, tuple[Any, ...]] = {}
        self._unmapped: Counter[tuple[str, str]] = Counter()

    def add_state(self, file: str, number: int, since: Since) -> None:
        self._states[file, number] += 1
        self._rows.append((file, number * 10 + self._states[file, number], *since.row()))

    def add_malformed(self, file: str, number: int) -> None:
        """A row without content, which staging rejects."""
        self._rows.append((file, number * 10, *(None for _ in RAW_COLUMNS["raw_subscriptions"])))

    def add_link(self, file: str, number: int, link: tuple[str | None, ...]) -> None:
        """A row of raw_links; the first one of an id counts."""
        self._links.setdefault(str(link[0]), (file, number * 10, *link))

    def count(self, file: str, name: str, rows: int = 1) -> None:
        """Count what becomes no row in unmapped_events."""
        self._unmapped[file, name] += rows

    def frames(self) -> dict[str, pd.DataFrame]:
        """The batch as a piece of a source."""
        import pandas as pd

        day = self.day.isoformat()

        def frame(table: str, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
            columns = [*ARRIVAL_COLUMNS, *RAW_COLUMNS[table]]
            return pd.DataFrame([(day, *row) for row in rows], columns=columns, dtype=object).astype(
                {"source_row": "int64"}
            )

        unmapped = [(day, file, name, rows) for (file, name), rows in sorted(self._unmapped.items())]
        return {
            "raw_subscriptions": frame("raw_subscriptions", sorted(self._rows, key=lambda row: row[:2])),
            "raw_links": frame("raw_links", list(self._links.values())),
            UNMAPPED: pd.DataFrame(unmapped, columns=list(UNMAPPED_COLUMNS)),
        }


def iso(ms: int) -> str:
    """A moment as ISO text in UTC, always with milliseconds, so that texts sort like moments."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
