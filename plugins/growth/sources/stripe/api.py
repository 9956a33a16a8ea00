"""Batches from Stripe by its API: its answers are kept in an archive, and batches are made from there.

Stripe describes the present state of a subscription; of the past it has only events, of the last 30 days. So each
answer is kept, in a file for each day that is written completely or not at all, and never asked for again: a batch that
is landed again is the same at any later time, and a killed run continues with the day that it had not finished.

* A pull begins with the full list of subscriptions and all events that Stripe still has. Its day is the last whole day
  (UTC) at that time; later events are undone. This is the first batch: nothing has arrived before it. The past is dated
  by the events and by the dates of each subscription.
* Each later day is the events created on it, and those of the two days before that Stripe showed too late. Each event
  is kept once.

A day that was never asked for and whose events are gone is an error. The next run for the last whole day then pulls a
full list again, which tells what holds since that day; when it changed within the gap stays unknown.

The archive has the fields that rows are made of and the one metadata key that names the user: no names, no addresses.
Only what is asked for the first time depends on the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from growth.errors import UserError
from growth.sources.contract import Archive, Sample, Source
from growth.sources.stripe.archive import StripeArchive
from growth.sources.stripe.batch import StripeBatch
from growth.sources.stripe.client import Client
from growth.sources.stripe.events import EVENT_TYPES
from growth.sources.stripe.objects import about, id_of, listed, moment, record, start_of
from growth.sources.stripe.prices import coupon_of, items_of
from growth.sources.stripe.settings import Settings, load_settings
from growth.sources.stripe.subscriptions import user_of

if TYPE_CHECKING:
    import pandas as pd

# "List events, going back up to 30 days" (docs.stripe.com/api/events/list). The day that is this long before the last
# whole day has all its events, whatever the hour.
EVENTS_REACH = timedelta(days=28)

# For how many days to look for events that Stripe shows after their day was asked for.
_LATE_DAYS = 2

_DAY = timedelta(days=1)

# At most four levels can be expanded. Coupons are asked for by id, because what they apply to is deeper.
_EXPAND = ("customer", "discounts", "discounts.source.coupon", "items.data.discounts")

_DISCOUNT_EVENTS = tuple(f"customer.discount.{what}" for what in ("created", "updated", "deleted"))

_SUBSCRIPTION_FIELDS = """
    id object status currency created start_date trial_start trial_end ended_at canceled_at cancel_at
    cancel_at_period_end current_period_start livemode pause_collection quantity plan discount discounts
"""
_PRICE_FIELDS = """
    id object currency billing_scheme unit_amount unit_amount_decimal amount amount_decimal nickname lookup_key product
    recurring interval interval_count usage_type transform_quantity
"""


class StripeApi(Source):
    """The Source that asks Stripe's API and keeps the answers in a folder.

    `connect` gives the client when something has to be asked; `now` is the clock that says which days are over.
    """

    name = "stripe_api"
    last_day = None

    def __init__(
        self,
        folder: str | Path,
        connect: Callable[[], Client],
        settings: Settings | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connect = connect
        self._settings = settings or load_settings()
        self._now = now
        self._archive = StripeArchive(Path(folder), self._names_of)
        self._client: Client | None = None
        self._coupons: dict[str, dict[str, Any] | None] = {}
        self._discounts: dict[str, Any] = {}

    @property
    def first_day(self) -> date:
        """The day of the first full list; the last whole day if there is none yet."""
        return min(self._archive.days("subscriptions"), default=self._last_whole_day())

    @property
    def archives(self) -> list[Archive]:
        return [self._archive]

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        for day in days:
            self._pull(day)
        kept = self._archive.days("events")
        for day in days:
            if day in kept:
                yield self._batch(day).frames()

    def sample(self, rows: int, yesterday: date) -> list[Sample]:
        """What a first pull gives; the archive stays as it is."""
        with TemporaryDirectory() as folder:
            return Source.sample(StripeApi(folder, self._connect, self._settings, self._now), rows, yesterday)

    def _names_of(self, each: Mapping[str, Any]) -> set[str]:
        """The ids of the customer and the user of a kept object."""
        subscription = about(each) if each.get("object") == "event" else each
        return {name for name in (id_of(subscription.get("customer")), user_of(subscription, self._settings)) if name}

    # --- From the archive ---

    def _batch(self, day: date) -> StripeBatch:
        batch = StripeBatch(day, self._settings)
        if pulled := self._archive.objects("subscriptions", day):
            earlier = {d for d in self._archive.days("events") if day - EVENTS_REACH - _LATE_DAYS * _DAY <= d < day}
            batch.write_pull(pulled, day == self.first_day, self._event_ids(earlier))
        for event in self._archive.objects("events", day):
            if event.content:
                batch.add_event(event)
            else:
                batch.add_malformed(event.file, event.number)
        batch.write_events()
        return batch

    def _event_ids(self, days: Collection[date]) -> frozenset[str]:
        """The events that the batches of these days report."""
        return frozenset(
            str(id_of(each.content))
            for day in days
            for kind in ("subscriptions", "events")
            for each in self._archive.objects(kind, day)
            # A list is kept with later events too, which are undone.
            if each.content.get("object") == "event"
            and (moment(each.content.get("created")) or 0) < start_of(day + _DAY)
        )

    # --- From Stripe ---

    def _last_whole_day(self) -> date:
        return self._now().astimezone(UTC).date() - timedelta(days=1)

    def _api(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _pull(self, day: date) -> None:
        """Ask for a day, unless it is kept or lies before the first list."""
        kept, lists, last = self._archive.days("events"), self._archive.days("subscriptions"), self._last_whole_day()
        if day in kept or day < min(lists, default=last):
            return
        if day > last:
            raise UserError(f"The day {day} is not over in UTC, so Stripe may report more of it: run {last} or wait.")
        if day == last and day not in lists and not self._is_complete(kept, lists, day):
            self._pull_list(day)
        elif day < last - EVENTS_REACH:
            raise UserError(
                f"Stripe keeps events for 30 days, and those of {day} were never pulled: run from {last - EVENTS_REACH}"
                f" on; the run of {last} pulls the full list again."
            )
        self._pull_events(day, kept)

    def _is_complete(self, kept: Collection[date], lists: Collection[date], day: date) -> bool:
        """Whether there is a list, and events of every day from it to the day before this."""
        if not lists:
            return False
        latest = max(lists)
        return all(latest + n * _DAY in kept for n in range((day - latest).days))

    def _pull_list(self, day: date) -> None:
        expand = [f"data.{path}" for path in _EXPAND]
        pages = self._api().pages("/v1/subscriptions", status="all", expand=expand)
        subscriptions = {str(id_of(each)): self._complete(each) for each in pages}
        # Events after the list, so that they include changes during it. Undoing an event twice does no harm.
        events = self._events(day - EVENTS_REACH, None, frozenset(), dict(subscriptions))
        self._archive.write("subscriptions", day, [*map(self._kept_subscription, subscriptions.values()), *events])

    def _pull_events(self, day: date, kept: Collection[date]) -> None:
        before = [day - n * _DAY for n in range(1, _LATE_DAYS + 1)]
        # Late events exist only for days that were asked for.
        asked = [d for n, d in enumerate(before) if all(b in kept for b in before[: n + 1])]
        events = self._events(min(asked, default=day), day, self._event_ids([*asked, day]), {})
        self._archive.write("events", day, events)

    def _events(
        self, first: date, last: date | None, known: Collection[str], current: dict[str, dict[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """The events to keep of the days from first to last (None: until now) that are not known, oldest first.

        `current` holds present subscriptions by id; those that are missing are asked for.
        """
        created = {"gte": start_of(first)} if last is None else {"gte": start_of(first), "lt": start_of(last + _DAY)}
        pages = self._api().pages("/v1/events", types=[*EVENT_TYPES, *_DISCOUNT_EVENTS], created=created)
        found = sorted(pages, key=lambda event: (moment(event.get("created")) or 0, str(id_of(event))))
        # Discounts that are gone are found in their own events.
        self._discounts = {
            str(id_of(discount)): self._with_coupon(discount)
            for event in found
            if event.get("type") in _DISCOUNT_EVENTS and (discount := about(event))
        }
        wanted = [event for event in found if event.get("type") in EVENT_TYPES and id_of(event) not in known]
        return [self._kept_event(event, current) for event in wanted]

    def _complete(self, subscription: dict[str, Any]) -> dict[str, Any]:
        """A subscription with all its items and the coupons of all its discounts."""
        items = record(subscription.get("items"))
        if items.get("has_more"):
            every = self._api().pages(
                "/v1/subscription_items", subscription=id_of(subscription), expand=["data.discounts"]
            )
            subscription["items"] = {**items, "data": list(every), "has_more": False}
        for holder in (subscription, *items_of(subscription), record(subscription.get("customer"))):
            if isinstance(holder.get("discounts"), list):
                holder["discounts"] = [self._with_coupon(discount) for discount in holder["discounts"]]
            if holder.get("discount"):
                holder["discount"] = self._with_coupon(holder["discount"])
        return subscription

    def _with_coupon(self, discount: Any) -> Any:
        """A discount with its complete coupon, if Stripe still has it."""
        name = id_of(coupon_of(discount))
        if name is None:
            return discount
        if name not in self._coupons:
            self._coupons[name] = self._api().get(f"/v1/coupons/{name}", expand=["applies_to"])
        kept = {key: discount.get(key) for key in ("id", "object", "start", "end")}
        return kept | {"source": {"type": "coupon", "coupon": self._coupons[name] or coupon_of(discount)}}

    # --- What is kept ---

    def _kept_event(self, event: dict[str, Any], current: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """An event, with the customer and the discounts that it names by id alone."""
        subscription = dict(about(event))
        previous = dict(record(record(event.get("data")).get("previous_attributes")))
        name = str(id_of(subscription))
        if name not in current:
            found = self._api().get(f"/v1/subscriptions/{name}", expand=list(_EXPAND))
            current[name] = self._complete(found) if found else {}
        now = current[name]
        if record(now.get("customer")) and id_of(now["customer"]) == id_of(subscription.get("customer")):
            subscription["customer"] = now["customer"]
        discounts = self._discounts | {
            str(id_of(d)): d
            for holder in (now, *items_of(now), record(subscription.get("customer")))
            for d in [*listed(holder.get("discounts")), holder.get("discount")]
            if record(d)
        }
        for holder in (subscription, previous):
            _expand_discounts(holder, discounts)
            for item in items_of(holder):
                _expand_discounts(item, discounts)
        kept = {key: event.get(key) for key in ("id", "object", "type", "created", "api_version", "livemode")}
        kept["data"] = {"object": self._kept_subscription(subscription)}
        if previous:
            changed = {key: each for key, each in self._kept_subscription(previous).items() if key in previous}
            kept["data"]["previous_attributes"] = changed
        return kept

    def _kept_subscription(self, subscription: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that rows are made of."""
        kept = {key: subscription[key] for key in _SUBSCRIPTION_FIELDS.split() if key in subscription}
        if "metadata" in subscription:
            kept["metadata"] = self._kept_metadata(subscription)
        if "items" in subscription:
            kept["items"] = {"object": "list", "data": [_kept_item(item) for item in items_of(subscription)]}
        customer = record(subscription.get("customer"))
        if customer:
            kept["customer"] = {
                "id": customer.get("id"),
                "created": customer.get("created"),
                "discount": customer.get("discount"),
                "metadata": self._kept_metadata(customer),
            }
        elif "customer" in subscription:
            kept["customer"] = subscription["customer"]
        return kept

    def _kept_metadata(self, holder: Mapping[str, Any]) -> dict[str, Any]:
        metadata = record(holder.get("metadata"))
        return {key: metadata[key] for key in (self._settings.user_id,) if key in metadata}


def _kept_item(item: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: item[k] for k in ("id", "quantity", "discounts", "current_period_start") if k in item}
    for key in ("price", "plan"):
        if record(item.get(key)):
            kept[key] = {k: item[key][k] for k in _PRICE_FIELDS.split() if k in item[key]}
    return kept


def _expand_discounts(holder: dict[str, Any], discounts: Mapping[str, Any]) -> None:
    """Replace ids of discounts by the discounts, in place."""
    if isinstance(holder.get("discounts"), list):
        holder["discounts"] = [discounts.get(d, d) if isinstance(d, str) else d for d in holder["discounts"]]
    if isinstance(holder.get("discount"), str):
        holder["discount"] = discounts.get(holder["discount"], holder["discount"])
