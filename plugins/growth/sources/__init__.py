"""Where raw rows come from. A source hands out whole batches: the rows that arrived on a day.

Rows are text as it came; nothing is refused here. What is malformed is rejected in staging, with its reason.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

RAW_COLUMNS: dict[str, tuple[str, ...]] = {
    "raw_users": ("user_id", "signup_date", "email", "utm_source", "utm_campaign", "first_visit_date"),
    "raw_events": (
        "event_id",
        "user_id",
        "event_type",
        "event_date",
        "event_timestamp",
        "feature_name",
        "utm_source",
        "utm_campaign",
    ),
    "raw_subscriptions": (
        "subscription_id",
        "user_id",
        "plan_name",
        "start_date",
        "end_date",
        "mrr",
        "status",
        "currency",
    ),
}

# Which batch a row belongs to, and its place in its source. Together they name one raw row of a table.
ARRIVAL_COLUMNS = ("batch_date", "source_file", "source_row")


class Source(Protocol):
    """A place that batches come from."""

    name: str
    """What the warehouse remembers: two sources with different names never share a warehouse."""

    first_day: date
    """The first day that has a batch."""

    last_day: date | None
    """The last day that has a batch; None where every whole day has one."""

    def read(self, first: date, last: date) -> dict[str, pd.DataFrame]:
        """All batches of the days from first to last, both included.

        One frame for each table of RAW_COLUMNS, with the columns of ARRIVAL_COLUMNS and then those of the table:
        batch_date as ISO text, source_row as int, all others text or None. A batch does not depend on which
        days are read together with it. Raises UserError.
        """
        ...
