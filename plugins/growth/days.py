"""Which days a run is for. No other code asks what day it is."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from growth.errors import UserError


class Days(NamedTuple):
    """The batches of a run: all days from first to last, both included."""

    first: date
    last: date

    def by_month(self) -> Iterator[Days]:
        """These days, split by month."""
        first = self.first
        while first <= self.last:
            last = min(self.last, first.replace(day=monthrange(first.year, first.month)[1]))
            yield Days(first, last)
            first = last + timedelta(days=1)


def days_of_run(
    logical_date: datetime | None, run_after: datetime, from_date: str | None = None, now: datetime | None = None
) -> Days:
    """The days that a run covers.

    The last is the date of its logical date in UTC, or, where a trigger gave none, the last whole day before the run.
    `from_date` (ISO text) stretches it backwards. Raises UserError for a day that has not begun, and for a from_date
    that is no date or lies after the last day.
    """
    if logical_date is not None:
        last = logical_date.astimezone(UTC).date()
    else:
        last = run_after.astimezone(UTC).date() - timedelta(days=1)
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    if last > today:
        raise UserError(f"The day {last} has not begun (it is {today} in UTC): run a day that has.")
    if not from_date:
        return Days(last, last)
    try:
        first = date.fromisoformat(from_date)
    except ValueError:
        raise UserError(f"from_date is {from_date!r}: give a date such as {last}, or leave it empty.") from None
    if first > last:
        raise UserError(f"from_date is {first}, after the day of the run, {last}: give that day or an earlier one.")
    return Days(first, last)
