"""From a subscription as Stripe's API writes it to the states that it tells of.

A mapping cannot express this: the prices of several items with their own periods add up, coupons belong to the
subscription, its items or its customer and have two shapes by API version, and an event contains two states, one of
them as a patch.

The fields are those of docs.stripe.com/api/subscriptions/object. Nothing is refused here: what is missing or malformed
becomes an empty or unknown value, which staging rejects with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from growth.sources import money
from growth.sources.stripe.objects import day_of, id_of, moment, record, text
from growth.sources.stripe.prices import items_of, major, price_of
from growth.sources.stripe.settings import Settings
from growth.sources.subscription_rows import Since, State, iso


def is_wanted(subscription: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a subscription has the mode (live or test) that is read."""
    return subscription.get("livemode") is not (settings.mode == "test")


def user_of(subscription: Mapping[str, Any], settings: Settings) -> str | None:
    """The user id: from the metadata of the subscription, or else of its customer; or else the customer's id."""
    customer = subscription.get("customer")
    return (
        text(record(subscription.get("metadata")).get(settings.user_id))
        or text(record(record(customer).get("metadata")).get(settings.user_id))
        or id_of(customer)
    )


def plan_of(subscription: Mapping[str, Any], settings: Settings) -> str:
    for item in items_of(subscription):
        price = record(item.get("price")) or record(item.get("plan"))
        for name in (id_of(price), price.get("lookup_key"), price.get("nickname"), id_of(price.get("product"))):
            if isinstance(name, str) and name in settings.plans:
                return settings.plans[name]
    return settings.other_plan


def is_paused(subscription: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a subscription that Stripe calls active brings nothing, because its invoices are not collected."""
    pause = record(subscription.get("pause_collection"))
    if not pause or settings.pause_collection == "paying":
        return False
    return settings.pause_collection == "suspended" or pause.get("behavior") != "keep_as_draft"


def status_of(subscription: Mapping[str, Any], settings: Settings) -> str | None:
    """Stripe's status, or `paused` if collection is paused."""
    status = text(subscription.get("status"))
    return "paused" if status in ("active", "past_due") and is_paused(subscription, settings) else status


def started(subscription: Mapping[str, Any]) -> int | None:
    """When it began, which may be before it was created."""
    return moment(subscription.get("start_date")) or moment(subscription.get("created"))


def ended(subscription: Mapping[str, Any]) -> int | None:
    """When it ended. A request to cancel (canceled_at) and a planned end (cancel_at) do not end it."""
    if over := moment(subscription.get("ended_at")):
        return over
    return moment(subscription.get("canceled_at")) if subscription.get("status") == "canceled" else None


def state_of(subscription: Mapping[str, Any], at: int, settings: Settings) -> tuple[State, tuple[str, ...]]:
    """The state that an object describes at a moment (epoch seconds), and remarks on what its price leaves out."""
    currency = text(subscription.get("currency")) or next(
        (c for i in items_of(subscription) if (c := text(record(i.get("price")).get("currency")))), None
    )
    price = price_of(subscription, at, settings)
    minor = price.monthly
    status = status_of(subscription, settings)
    state = State(
        subscription_id=id_of(subscription),
        user_id=user_of(subscription, settings),
        plan_name=plan_of(subscription, settings),
        start_date=_day(started(subscription)),
        end_date=_day(ended(subscription)),
        mrr=None if minor is None or currency is None else money.as_text(major(minor, currency)),
        status=settings.statuses.get(status, status) if status else None,
        currency=currency.upper() if currency else None,
    )
    return state, price.remarks


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else day_of(seconds).isoformat()


def states_behind(subscription: Mapping[str, Any], at: int, settings: Settings) -> Iterator[Since]:
    """The states that an object dates, in their order, at the price that it has at a moment (epoch seconds).

    An object has the current status and the dates of the trial and the end. It does not say when it became past due,
    unpaid or paused: that is dated by the beginning of its latest period.
    """
    now, _ = state_of(subscription, at, settings)
    start = started(subscription)
    if start is None:
        yield Since(now, None)
        return
    status = status_of(subscription, settings)
    trial_end = moment(subscription.get("trial_end"))
    after_trial = max(start, trial_end) if trial_end and moment(subscription.get("trial_start")) else start
    over = ended(subscription)

    def earlier(status: str, since: int) -> Since:
        return Since(now._replace(status=settings.statuses.get(status, status), end_date=None), since * 1000)

    if status not in ("active", "past_due", "unpaid", "paused", "canceled"):
        yield Since(now, start * 1000)
        return
    until = over if status == "canceled" and over is not None else None
    if after_trial > start:
        yield earlier("trialing", start)
    if status == "active":
        yield Since(now, after_trial * 1000)
        return
    if until is None:
        until = max(after_trial, _latest_period(subscription) or after_trial)
    if after_trial < until:
        yield earlier("active", after_trial)
    yield Since(now, max(start, until) * 1000)


def _latest_period(subscription: Mapping[str, Any]) -> int | None:
    """When the latest period began. API versions from 2025-03-31 on have it on the items."""
    begun = [moment(holder.get("current_period_start")) for holder in (subscription, *items_of(subscription))]
    return max((b for b in begun if b is not None), default=None)


def link_of(subscription: Mapping[str, Any], settings: Settings) -> tuple[str | None, ...] | None:
    """A row of raw_links if the metadata of the customer names the user: the customer's id then means that user.

    Metadata of the subscription makes no link, because one customer may pay for subscriptions of several users.
    """
    customer = record(subscription.get("customer"))
    user, customer_id = text(record(customer.get("metadata")).get(settings.user_id)), id_of(customer)
    since = moment(customer.get("created")) or started(subscription)
    if user is None or customer_id is None or user == customer_id or since is None:
        return None
    return (f"stripe-{customer_id}", iso(since * 1000), user, None, customer_id, None)
