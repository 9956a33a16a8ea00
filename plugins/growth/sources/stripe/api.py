"""Batches from Stripe by its API: what it says is kept in a folder, and batches are read from there.

Stripe says of a subscription what is, and of the past what its events say, which reach back 30 days. So what was asked
once is kept, a file for each day, written whole or not at all, and never asked again: a batch that is landed again is
the same one, whenever that is, and a run that is killed goes on with the day that it had not finished.

* `subscriptions-<day>.jsonl.gz`, where a pull begins: the full list, and all events that there still are. Its day is
  the last whole one (UTC) when it was pulled; what happened since is taken back. It is the first batch: before it
  nothing has arrived. What it holds of the past is dated by the events and by the dates of each subscription.
* `events-<day>.jsonl.gz`: the events created on that day, and those that Stripe showed too late for the days before.
  A day without any has a file as well. Each event is kept once.

A day that was never asked and whose events are gone is an error. The next run for the last whole day then begins with
a full list again, which says what holds since that day; when it changed within the gap nobody knows.

Kept are the fields that rows are made of and the one key of metadata that names the user: no names, no addresses.
Kept files and the batches made of them are no function of time: only what is asked for the first time asks the clock.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.errors import UserError
from growth.language import definitions
from growth.sources.places import Folder
from growth.sources.stripe.files import Batch, Placed, parse, read_objects, start_of
from growth.sources.stripe.subscriptions import (
    EVENT_TYPES,
    Settings,
    coupon_of,
    id_of,
    items_of,
    listed,
    load_settings,
    moment,
    record,
    user_of,
)

if TYPE_CHECKING:
    import pandas as pd

CONNECTION = "stripe"

# "List events, going back up to 30 days" (docs.stripe.com/api/events/list): of the day that is this long before the
# last whole one there are all events, at whatever hour it is.
EVENTS_REACH = timedelta(days=28)

# For how many days events are looked for that Stripe shows after their day was asked.
_LATE_DAYS = 2

_DAY = timedelta(days=1)

# A page of a list. No list of Stripe hands out more.
_LIMIT = 100

# Four levels can be expanded at most. Coupons are asked for by their ids, since what they apply to lies deeper.
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


class Client:
    """Stripe's API through its library: pages of lists, waits and tries again. Raises UserError."""

    def __init__(
        self,
        key: str,
        base: str | None = None,
        tries: int = 7,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = 80,
    ) -> None:
        try:
            import stripe
        except ImportError:
            raise UserError(
                "SOURCE=stripe_api needs Stripe's library, which is not installed:"
                " pip install -r requirements-stripe.txt -c constraints.txt."
            ) from None
        self._stripe = stripe
        self._tries = tries
        self._sleep = sleep
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base} if base else None,
            # The library's own tries leave out status 429, Retry-After and a body that breaks off.
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout),
        )

    def get(self, path: str, **parameters: Any) -> dict[str, Any] | None:
        """One object or page; None where Stripe has none (404)."""
        error: Exception | None = None
        for attempt in range(self._tries):
            if error is not None:
                self._sleep(self._wait(error, attempt))
            try:
                found = parse(self._client.raw_request("get", path, **parameters).body)
            except self._stripe.StripeError as raised:
                if raised.http_status == 404:
                    return None
                self._refuse(raised, path)
                error = raised
            else:
                return found if isinstance(found, dict) else {}
        status = getattr(error, "http_status", None)
        said = f"answered {status}" if status and status != 200 else "broke off its answers"
        raise UserError(f"Stripe {said} at {path} {self._tries} times: run again later, what was pulled is kept.")

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All objects of a list, newest first, each once."""
        seen: set[str] = set()
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=_LIMIT, **parameters, **after)
            if page is None or page.get("object") != "list":
                raise UserError(
                    f"What answers at {path} is no list of Stripe: correct the host of the connection {CONNECTION}."
                )
            objects = {str(about): each for each in listed(page) if (about := id_of(each))}
            new = objects.keys() - seen
            yield from (each for about, each in objects.items() if about in new)
            seen |= new
            if not page.get("has_more"):
                return
            if not new:
                raise UserError(
                    f"Stripe says that its list {path} goes on, and gives nothing new of it after {len(seen)} objects:"
                    " run again later, what was pulled is kept."
                )
            after = {"starting_after": list(objects)[-1]}

    def _wait(self, error: Exception, attempt: int) -> float:
        """Seconds to wait: what Stripe asks for, and no less than 0.5, 1, 2 ... up to 32."""
        headers = {k.lower(): v for k, v in (getattr(error, "headers", None) or {}).items()}
        try:
            asked = float(headers.get("retry-after", 0))
        except ValueError:
            asked = 0.0
        return max(min(asked, 300.0), min(0.5 * 2 ** (attempt - 1), 32.0))

    def _refuse(self, error: Any, path: str) -> None:
        """Raise UserError for what no other try would change."""
        if isinstance(error, self._stripe.AuthenticationError):
            raise UserError(
                f"Stripe does not know the key of the connection {CONNECTION}: give it a secret or restricted key of"
                " the account as its password."
            ) from None
        if isinstance(error, self._stripe.PermissionError):
            raise UserError(
                f"The key of the connection {CONNECTION} may not read {path}: give it read access to subscriptions,"
                " customers, coupons and events."
            ) from None
        if error.http_status and 400 <= error.http_status < 500 and error.http_status not in (409, 429):
            said = " ".join(str(error.user_message or "").split())[:200]
            raise UserError(f"Stripe refuses {path} (status {error.http_status}: {said}): check the key.") from None


class StripeApi:
    """The Source that asks Stripe's API; what it was told lies in `folder`.

    `connect` gives the client when something has to be asked; `now` the clock that says which days are over.
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
        self._folder = Path(folder)
        self._connect = connect
        self._settings = settings or load_settings()
        self._now = now
        self._client: Client | None = None
        self._coupons: dict[str, dict[str, Any] | None] = {}
        self._discounts: dict[str, Any] = {}

    @property
    def first_day(self) -> date:
        """The day of the first full list; the last whole day where there is none yet."""
        return min(self._days("subscriptions"), default=self._last_whole_day())

    @property
    def keeps_nothing(self) -> bool:
        """Whether the folder holds nothing of what Stripe has said."""
        return not self._days("subscriptions")

    def pieces(self, first: date, last: date) -> Iterator[dict[str, pd.DataFrame]]:
        """The batches of the days from first to last, one after the other, as `growth.sources.Source` says."""
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        for day in days:
            self._keep(day)
        kept = self._days("events")
        for day in days:
            if day in kept:
                yield self._batch(day).frames()

    def forget(self, ids: Collection[str]) -> int:
        """Take all subscriptions of these users or customers out of what is kept; gives how many objects went."""
        gone = 0
        for kind in ("subscriptions", "events"):
            for day in sorted(self._days(kind)):
                objects = [placed.object for placed in read_objects(Folder(self._folder), self._path(kind, day).name)]
                stay = [each for each in objects if not self._names_of(each) & set(ids)]
                if len(stay) < len(objects):
                    gone += len(objects) - len(stay)
                    self._write(self._path(kind, day), stay)
        return gone

    def _names_of(self, each: Mapping[str, Any]) -> set[str]:
        about = record(record(each.get("data")).get("object")) if each.get("object") == "event" else each
        return {name for name in (id_of(about.get("customer")), user_of(about, self._settings)) if name}

    # --- What is kept ---

    def _path(self, kind: str, day: date) -> Path:
        return self._folder / f"{kind}-{day.isoformat()}.jsonl.gz"

    def _days(self, kind: str) -> set[date]:
        found = set()
        for path in self._folder.glob(f"{kind}-*.jsonl.gz") if self._folder.is_dir() else ():
            with contextlib.suppress(ValueError):
                found.add(date.fromisoformat(path.name.removeprefix(f"{kind}-").removesuffix(".jsonl.gz")))
        return found

    def _objects(self, kind: str, day: date) -> list[Placed]:
        path = self._path(kind, day)
        return list(read_objects(Folder(self._folder), path.name)) if path.exists() else []

    def _event_ids(self, days: Collection[date]) -> frozenset[str]:
        """The events that the batches of these days tell of."""
        return frozenset(
            str(id_of(placed.object))
            for day in days
            for kind in ("subscriptions", "events")
            for placed in self._objects(kind, day)
            # A list has the events after its day as well, to take them back.
            if placed.object.get("object") == "event"
            and (moment(placed.object.get("created")) or 0) < start_of(day + _DAY)
        )

    def _write(self, path: Path, objects: list[Mapping[str, Any]]) -> None:
        """Write a file whole or not at all, for its owner alone."""
        new = path.with_name(path.name + ".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
                    for each in objects:
                        packed.write(json.dumps(each, default=_exact).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise UserError(
                f"What Stripe says cannot be kept in {self._folder} ({error.strerror}): make room there and make the"
                " folder writable, or name another one."
            ) from None

    def _batch(self, day: date) -> Batch:
        batch = Batch(day, self._settings)
        if pulled := self._objects("subscriptions", day):
            earlier = {d for d in self._days("events") if day - EVENTS_REACH - _LATE_DAYS * _DAY <= d < day}
            batch.tell_pull(pulled, day == self.first_day, self._event_ids(earlier))
        for placed in self._objects("events", day):
            if placed.object:
                batch.add_event(placed)
            else:
                batch.add_malformed(placed)
        batch.tell_events()
        return batch

    # --- What is asked ---

    def _last_whole_day(self) -> date:
        return self._now().astimezone(UTC).date() - timedelta(days=1)

    def _api(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _keep(self, day: date) -> None:
        """Ask what is to be known of a day, unless it is kept or lies before the first list."""
        kept, lists, last = self._days("events"), self._days("subscriptions"), self._last_whole_day()
        if day in kept or day < min(lists, default=last):
            return
        if day > last:
            raise UserError(f"The day {day} is not over in UTC, and Stripe may say more of it: run {last} or wait.")
        if day == last and day not in lists and not self._is_whole(kept, lists, day):
            self._pull_list(day)
        elif day < last - EVENTS_REACH:
            raise UserError(
                f"Stripe keeps events for 30 days, and those of {day} were never pulled: run from {last - EVENTS_REACH}"
                f" on; the run of {last} pulls the full list again."
            )
        self._pull_events(day, kept)

    def _is_whole(self, kept: Collection[date], lists: Collection[date], day: date) -> bool:
        """Whether there is a list, and every day from it to the one before this has been asked."""
        if not lists:
            return False
        latest = max(lists)
        return all(latest + n * _DAY in kept for n in range((day - latest).days))

    def _pull_list(self, day: date) -> None:
        expand = [f"data.{path}" for path in _EXPAND]
        pages = self._api().pages("/v1/subscriptions", status="all", expand=expand)
        subscriptions = {str(id_of(each)): self._whole(each) for each in pages}
        # After the list: what changed while it was read is among the events, and putting it back twice does no harm.
        events = self._events(day - EVENTS_REACH, None, frozenset(), dict(subscriptions))
        self._write(self._path("subscriptions", day), [*map(self._kept_subscription, subscriptions.values()), *events])

    def _pull_events(self, day: date, kept: Collection[date]) -> None:
        before = [day - n * _DAY for n in range(1, _LATE_DAYS + 1)]
        # Of a day that was never asked nothing is late.
        asked = [d for n, d in enumerate(before) if all(b in kept for b in before[: n + 1])]
        events = self._events(min(asked, default=day), day, self._event_ids([*asked, day]), {})
        self._write(self._path("events", day), events)

    def _events(
        self, first: date, last: date | None, known: Collection[str], current: dict[str, dict[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """The events of the days from first to last (None: until now) that are not known, oldest first, to be kept.

        `current` holds subscriptions as they are now, by id; what is missing is asked for.
        """
        created = {"gte": start_of(first)} if last is None else {"gte": start_of(first), "lt": start_of(last + _DAY)}
        pages = self._api().pages("/v1/events", types=[*EVENT_TYPES, *_DISCOUNT_EVENTS], created=created)
        found = sorted(pages, key=lambda event: (moment(event.get("created")) or 0, str(id_of(event))))
        # Discounts that are gone stand in the events of their own.
        self._discounts = {
            str(id_of(discount)): self._with_coupon(discount)
            for event in found
            if event.get("type") in _DISCOUNT_EVENTS and (discount := record(record(event.get("data")).get("object")))
        }
        wanted = [event for event in found if event.get("type") in EVENT_TYPES and id_of(event) not in known]
        return [self._kept_event(event, current) for event in wanted]

    def _kept_event(self, event: dict[str, Any], current: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """An event with what it names by id alone: the customer, and discounts that the subscription still has."""
        data = record(event.get("data"))
        about = dict(record(data.get("object")))
        previous = dict(record(data.get("previous_attributes")))
        name = str(id_of(about))
        if name not in current:
            found = self._api().get(f"/v1/subscriptions/{name}", expand=list(_EXPAND))
            current[name] = self._whole(found) if found else {}
        now = current[name]
        if record(now.get("customer")) and id_of(now["customer"]) == id_of(about.get("customer")):
            about["customer"] = now["customer"]
        discounts = self._discounts | {
            str(id_of(d)): d
            for holder in (now, *items_of(now), record(about.get("customer")))
            for d in [*listed(holder.get("discounts")), holder.get("discount")]
            if record(d)
        }
        for holder in (about, previous):
            _fill(holder, discounts)
            for item in items_of(holder):
                _fill(item, discounts)
        kept = {key: event.get(key) for key in ("id", "object", "type", "created", "api_version", "livemode")}
        kept["data"] = {"object": self._kept_subscription(about)}
        if previous:
            changed = {key: each for key, each in self._kept_subscription(previous).items() if key in previous}
            kept["data"]["previous_attributes"] = changed
        return kept

    def _whole(self, subscription: dict[str, Any]) -> dict[str, Any]:
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
        """A discount with the whole of its coupon, as far as Stripe still has it."""
        name = id_of(coupon_of(discount))
        if name is None:
            return discount
        if name not in self._coupons:
            self._coupons[name] = self._api().get(f"/v1/coupons/{name}", expand=["applies_to"])
        kept = {key: discount.get(key) for key in ("id", "object", "start", "end")}
        return kept | {"source": {"type": "coupon", "coupon": self._coupons[name] or coupon_of(discount)}}

    def _kept_subscription(self, subscription: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that rows are made of."""
        kept = {key: subscription[key] for key in _SUBSCRIPTION_FIELDS.split() if key in subscription}
        if "metadata" in subscription:
            kept["metadata"] = self._kept_metadata(subscription)
        if "items" in subscription:
            kept["items"] = {"object": "list", "data": [self._kept_item(item) for item in items_of(subscription)]}
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

    def _kept_item(self, item: Mapping[str, Any]) -> dict[str, Any]:
        kept = {k: item[k] for k in ("id", "quantity", "discounts", "current_period_start") if k in item}
        for key in ("price", "plan"):
            if record(item.get(key)):
                kept[key] = {k: item[key][k] for k in _PRICE_FIELDS.split() if k in item[key]}
        return kept


def _fill(holder: dict[str, Any], discounts: Mapping[str, Any]) -> None:
    """Discounts in the place of their ids."""
    if isinstance(holder.get("discounts"), list):
        holder["discounts"] = [discounts.get(d, d) if isinstance(d, str) else d for d in holder["discounts"]]
    if isinstance(holder.get("discount"), str):
        holder["discount"] = discounts.get(holder["discount"], holder["discount"])


def _exact(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value)} is not JSON")


def open_api(_name: str, _place: str, environment: Mapping[str, str]) -> StripeApi:
    """SOURCE=stripe_api: what it was told is kept in SAAS_GROWTH_STRIPE_FOLDER, by default data/stripe_api.

    Not where the files of other sources lie: those are read. The key is the password of the Airflow connection
    `stripe`; its host, if any, another base of the API. Raises UserError.
    """
    folder = environment.get("SAAS_GROWTH_STRIPE_FOLDER") or Path(__file__).parents[4] / "data" / "stripe_api"
    return StripeApi(folder, client_of_connection, load_settings(words=definitions.load()))


def client_of_connection() -> Client:
    """The client that the Airflow connection `stripe` describes. Raises UserError."""
    from airflow.exceptions import AirflowNotFoundException
    from airflow.sdk import BaseHook

    try:
        connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        connection = None
    if connection is None or not connection.password:
        raise UserError(
            f"There is no key for Stripe: make an Airflow connection {CONNECTION} with the key as its password, or set"
            f" AIRFLOW_CONN_{CONNECTION.upper()}."
        )
    return Client(connection.password, base_of(connection.host, connection.schema, connection.port))


def base_of(host: str | None, schema: str | None = None, port: int | None = None) -> str | None:
    """The base of the API that a connection names; None for Stripe's own."""
    if not host:
        return None
    base = host if "://" in host else f"{schema or 'https'}://{host}"
    return f"{base.rstrip('/')}:{port}" if port else base.rstrip("/")
