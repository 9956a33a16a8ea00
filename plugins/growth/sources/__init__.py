"""Where raw rows come from. A source hands out whole batches: the rows that arrived on a day.

Rows are text as it came; nothing is refused here. What is malformed is rejected in staging, with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from growth.errors import UserError

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
        "anonymous_id",
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
        "changed_at",
    ),
    "raw_links": ("link_id", "linked_at", "user_id", "anonymous_id", "other_user_id", "other_anonymous_id"),
}
"""The columns of the raw tables, text all of them. The README's page on your own data says what each means."""

# Which batch a row belongs to, and its place in its source. Together they name one raw row of a table.
ARRIVAL_COLUMNS = ("batch_date", "source_file", "source_row")

# Events that a mapping has no rule for are no raw rows: they are counted, by the name that they have at their source.
UNMAPPED = "unmapped_events"
UNMAPPED_COLUMNS = ("batch_date", "source_file", "event_name", "rows_seen")


class Source(Protocol):
    """A place that batches come from."""

    name: str
    """What the warehouse remembers: two sources with different names never share a warehouse."""

    first_day: date
    """The first day that has a batch."""

    last_day: date | None
    """The last day that has a batch; None where every whole day has one."""

    def pieces(self, first: date, last: date) -> Iterator[Mapping[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, in pieces that fit into memory.

        A piece has a frame for some or all tables of RAW_COLUMNS, with the columns of ARRIVAL_COLUMNS and then those of
        the table: batch_date as ISO text, source_row as int, all others text or None. It may have one of UNMAPPED, too.
        A batch does not depend on which days are read together with it. Raises UserError, also after some pieces:
        then none of them may stay.
        """
        ...


def open_source(environment: Mapping[str, str] = os.environ) -> Source:
    """The source that SAAS_GROWTH_SOURCE names: `synthetic`, or a mapping in include/sources.

    A mapping's files lie below SAAS_GROWTH_SOURCE_PATH. The synthetic source takes SAAS_GROWTH_SEED and
    SAAS_GROWTH_SCALE. Raises UserError.
    """
    name = environment.get("SAAS_GROWTH_SOURCE") or "synthetic"
    if name == "synthetic":
        from growth.sources.synthetic import Synthetic

        try:
            seed = int(environment.get("SAAS_GROWTH_SEED") or 1)
            scale = float(environment.get("SAAS_GROWTH_SCALE") or 1)
        except ValueError:
            raise UserError("SAAS_GROWTH_SEED is a whole number and SAAS_GROWTH_SCALE a number: mend them.") from None
        if not 0 < scale <= 1000 or seed < 0:
            raise UserError("SAAS_GROWTH_SCALE lies above 0 and up to 1000, SAAS_GROWTH_SEED from 0 on: mend them.")
        return Synthetic(seed=seed, scale=scale)
    from growth.sources.files import Files

    mappings = Path(__file__).parents[3] / "include" / "sources"
    known = sorted(path.stem for path in mappings.glob("*.yaml"))
    if name not in known:
        raise UserError(
            f"There is no source {name}: choose synthetic or a mapping in include/sources ({', '.join(known)})."
        )
    folder = environment.get("SAAS_GROWTH_SOURCE_PATH")
    if not folder:
        raise UserError(f"The source {name} reads files: say in which folder they lie, with DATA=<folder>.")
    return Files(mappings / f"{name}.yaml", Path(folder))
