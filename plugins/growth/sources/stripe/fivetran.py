"""Batches from the tables that Fivetran's connector for Stripe makes in a warehouse, exported as CSV files.

The rows are joined into the objects that they came from, which `growth.sources.stripe.subscriptions` reads. The name of
a file is that of its table, with any prefix and with or without `_data` (`subscription.csv`,
`fivetran_subscription_data.csv`), also as `.gz`. Only the table `subscription` is required.

The batch of a subscription is the day on which Fivetran synced its row (`_fivetran_synced`). The tables have only the
latest state, so a folder is one export: history is dated by the dates of each subscription.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.errors import UserError
from growth.sources.contract import Source
from growth.sources.file_stores import FileStore, open_store
from growth.sources.stripe.batch import StripeBatch
from growth.sources.stripe.exports import text_of
from growth.sources.stripe.objects import StripeObject, day_of, parse
from growth.sources.stripe.settings import Settings, load_settings

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("subscription", "subscription_item", "price", "plan", "customer", "coupon", "subscription_discount")
_NAME = re.compile(rf"^(?:.*[_-])??({'|'.join(sorted(TABLES, key=len, reverse=True))})(?:_data)?\.csv(?:\.gz)?$", re.I)

_MOMENTS = ("created", "start_date", "trial_start", "trial_end", "ended_at", "canceled_at", "current_period_start")

Row = dict[str, str]


class StripeFivetran(Source):
    """The Source of one export of Fivetran's tables. Files are read when a day is first asked for. Raises UserError."""

    name = "stripe_fivetran"

    def __init__(self, location: str | Path, settings: Settings | None = None) -> None:
        self._store = open_store(location)
        self._settings = settings or load_settings()

    @property
    def first_day(self) -> date:
        return min(self._batches)

    @property
    def last_day(self) -> date:
        return max(self._batches)

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        for day in sorted(d for d in self._batches if first <= d <= last):
            batch = StripeBatch(day, self._settings)
            batch.write_list(self._batches[day], None)
            yield batch.frames()

    @cached_property
    def _batches(self) -> dict[date, list[StripeObject]]:
        tables = self._tables()
        if not tables.get("subscription"):
            raise UserError(
                f"No file in {self._store} is Fivetran's table subscription with rows in it: deliver subscription.csv."
            )
        joined = _JoinedTables(tables)
        batches: dict[date, list[StripeObject]] = defaultdict(list)
        synced = {origin: _seconds(row.get("_fivetran_synced")) for origin, row in tables["subscription"]}
        latest = max((moment for moment in synced.values() if moment is not None), default=None)
        if latest is None:
            raise UserError(
                f"No subscription in {self._store} says when Fivetran synced it: export the column _fivetran_synced."
            )
        for origin, row in tables["subscription"]:
            day = day_of(latest if synced[origin] is None else synced[origin])
            batches[day].append(StripeObject(*origin, joined.subscription(row)))
        return batches

    def _tables(self) -> dict[str, list[tuple[tuple[str, int], Row]]]:
        """The rows of each table, each with its file and number."""
        found: dict[str, list[tuple[tuple[str, int], Row]]] = {}
        for name in self._store.matching("*"):
            if match := _NAME.match(name):
                table = match[1].lower()
                if table in found:
                    raise UserError(
                        f"{self._store.shown(name)} is the second file of the table {table}: keep one export in the"
                        " folder."
                    )
                rows = _rows(self._store, name)
                found[table] = [((name, number), row) for number, row in enumerate(rows, start=1)]
        return found


class _JoinedTables:
    """The tables, by the columns that join them."""

    def __init__(self, tables: Mapping[str, list[tuple[tuple[str, int], Row]]]) -> None:
        def by(table: str, key: str) -> dict[str, list[Row]]:
            rows: dict[str, list[Row]] = defaultdict(list)
            for _, row in tables.get(table, []):
                if row.get(key):
                    rows[row[key]].append(row)
            return rows

        self._items = by("subscription_item", "subscription_id")
        self._prices, self._plans = by("price", "id"), by("plan", "id")
        self._customers, self._coupons = by("customer", "id"), by("coupon", "id")
        self._discounts = by("subscription_discount", "subscription_id")

    def subscription(self, row: Row) -> dict[str, Any]:
        whole: dict[str, Any] = {key: row.get(key) for key in ("id", "status", "currency")}
        whole |= {key: _seconds(row.get(key)) for key in _MOMENTS}
        whole |= {"object": "subscription", "livemode": _flag(row.get("livemode")), "metadata": _metadata(row)}
        whole["customer"] = name = row.get("customer_id") or row.get("customer")
        for customer in self._customers.get(name or "", [])[:1]:
            created = _seconds(customer.get("created"))
            whole["customer"] = {"id": name, "created": created, "metadata": _metadata(customer)}
        items = [self._item(item) for item in self._items.get(row.get("id") or "", [])]
        whole["items"] = {"object": "list", "data": items}
        if not whole["currency"]:  # only the prices have it
            whole["currency"] = next((c for item in items if (c := item["price"].get("currency"))), None)
        whole["discounts"] = [self._discount(each) for each in self._discounts.get(row.get("id") or "", [])]
        return whole

    def _item(self, item: Row) -> dict[str, Any]:
        name = item.get("price_id") or item.get("plan_id") or ""
        found = [*self._prices.get(name, []), *self._plans.get(name, [])]
        kept: dict[str, Any] = {"id": item.get("id"), "quantity": item.get("quantity") or None}
        if not found:
            return kept | {"price": {"id": name}}
        price = found[0]
        recurring = {
            key: price.get(f"recurring_{key}") or price.get(key) or None
            for key in ("interval", "interval_count", "usage_type")
        }
        count = recurring["interval_count"]
        recurring["interval_count"] = int(count) if count and count.isdecimal() else count
        amounts = (price.get(key) for key in ("unit_amount", "unit_amount_decimal", "amount"))
        packages = {"divide_by": price.get("transform_quantity_divide_by") or price.get("transform_usage_divide_by")}
        packages["round"] = price.get("transform_quantity_round") or price.get("transform_usage_round")
        names = ("id", "currency", "billing_scheme", "nickname", "lookup_key")
        whole = {key: price.get(key) or None for key in names} | {
            "product": price.get("product_id"),
            "unit_amount": next((amount for amount in amounts if amount), None),
            "recurring": recurring,
            "transform_quantity": packages if packages["divide_by"] else None,
        }
        return kept | {"price": whole}

    def _discount(self, row: Row) -> dict[str, Any]:
        coupons = self._coupons.get(row.get("coupon_id") or "", [])
        keys = ("id", "duration", "percent_off", "amount_off", "currency")
        coupon = {key: coupons[0].get(key) or None for key in keys} if coupons else row.get("coupon_id")
        moments = {key: _seconds(row.get(key)) for key in ("start", "end")}
        return {"id": row.get("id"), "object": "discount", **moments, "source": {"type": "coupon", "coupon": coupon}}


def _rows(store: FileStore, name: str) -> list[Row]:
    try:
        with text_of(store, name, newline="") as file:
            return [{k: v for k, v in row.items() if k and isinstance(v, str)} for row in csv.DictReader(file)]
    except csv.Error as error:
        raise UserError(f"{store.shown(name)} cannot be read as CSV ({error}): deliver it again.") from None


def _seconds(text: str | None) -> int | None:
    """Epoch seconds of a moment in UTC as warehouses export it; None if it cannot be read."""
    try:
        found = datetime.fromisoformat(text.strip().removesuffix(" UTC")) if text else None
    except ValueError:
        return None
    return None if found is None else int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _flag(text: str | None) -> bool | None:
    return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}.get((text or "").lower())


def _metadata(row: Row) -> Any:
    try:
        return parse(row.get("metadata") or "{}")
    except (ValueError, RecursionError):
        return {}
