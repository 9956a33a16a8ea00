"""A subscription as Stripe's API writes it, to the rows of raw_subscriptions that it says.

A mapping cannot say this: prices of several items with periods of their own add up, coupons lie on the subscription,
its items or its customer and in two shapes by API version, and an event holds two states of which one is a patch.

What each field means: docs.stripe.com/api/subscriptions/object. Nothing is refused here: what is missing or malformed
becomes an empty or unknown value, which staging rejects with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError

from growth.errors import UserError
from growth.language import definitions
from growth.sources.stripe import money
from growth.sources.stripe.money import Line, Period, Reduction

SETTINGS_PATH = Path(__file__).parents[4] / "include" / "stripe.yaml"

CREATED = "customer.subscription.created"
UPDATED = "customer.subscription.updated"
DELETED = "customer.subscription.deleted"
EVENT_TYPES = (CREATED, UPDATED, DELETED)

# Moments up to the year 2100, in which every date can be written.
_MOMENTS = range(1, 4_102_444_800)


class Settings(definitions.Strict):
    """include/stripe.yaml, where each key is explained."""

    user_id: Annotated[str, Field(min_length=1)]
    plans: dict[str, str]
    other_plan: str
    mode: Literal["live", "test"]
    coupons: Literal["forever", "all"]
    pause_collection: Literal["by_behavior", "suspended", "paying"]
    statuses: dict[str, str]


def load_settings(path: Path = SETTINGS_PATH, words: definitions.Definitions | None = None) -> Settings:
    """The settings in the file, their plans and statuses compared with the dictionary's. Raises UserError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings = Settings.model_validate({} if content is None else content)
    except OSError as error:
        raise UserError(f"The settings {path} cannot be read ({error.strerror}): restore the file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"The settings {path}{where} are not YAML: mend that line.") from None
    except ValidationError as error:
        raise UserError(definitions.sentence(path, error)) from None
    if words:
        for key, said, known in (
            ("plans", {*settings.plans.values(), settings.other_plan}, set(words.subscriptions.plans)),
            ("statuses", set(settings.statuses.values()), set(words.subscriptions.statuses)),
        ):
            if unknown := sorted(said - known):
                raise UserError(
                    f"{path}: {key}: the dictionary has no {unknown[0]!r}: say one of {', '.join(sorted(known))}, or"
                    " add it to include/definitions.yaml."
                )
    return settings


class State(NamedTuple):
    """What holds of a subscription from a moment on; the columns of raw_subscriptions but for that moment."""

    subscription_id: str | None
    user_id: str | None
    plan_name: str | None
    start_date: str | None
    end_date: str | None
    mrr: str | None
    status: str | None
    currency: str | None


class Since(NamedTuple):
    """A state and the moment from which it holds, in milliseconds since 1970-01-01 UTC."""

    state: State
    at_ms: int | None

    def row(self) -> tuple[str | None, ...]:
        """A row of raw_subscriptions."""
        return (*self.state, self.at_ms if self.at_ms is None else iso(self.at_ms))


def iso(at_ms: int) -> str:
    """A moment as ISO text in UTC, always with its milliseconds: the order of texts is that of moments."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z"


# --- Reading what may be anything ---


def record(value: Any) -> Mapping[str, Any]:
    """An object of JSON; an empty one for anything else, an id that was not expanded among them."""
    return value if isinstance(value, dict) else {}


def id_of(value: Any) -> str | None:
    """The id of an object, expanded or not."""
    found = record(value).get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def moment(value: Any) -> int | None:
    """Epoch seconds; None where there is no moment (null, and 0, which was met too)."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _MOMENTS else None


def listed(value: Any) -> list[Any]:
    """The elements of an array, or of a list object of Stripe."""
    found = value.get("data") if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


# --- Price ---


class Price(NamedTuple):
    """What a subscription brings a month in minor units (None: unreadable), and what of it could not be counted."""

    monthly: Decimal | None
    remarks: tuple[str, ...] = ()


def items_of(subscription: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of a subscription. Before 2018-02-05 there was one plan and no items."""
    items = [record(item) for item in listed(subscription.get("items"))]
    if not items and "items" not in subscription and record(subscription.get("plan")):
        return [{"plan": subscription["plan"], "quantity": subscription.get("quantity")}]
    return items


def price_of(subscription: Mapping[str, Any], at: int, settings: Settings) -> Price:
    """The value of a subscription in a month, as Stripe defines MRR (docs.stripe.com, Billing glossary).

    All items, each with its own period; coupons on the items first, then those of the subscription, else the one of
    its customer. Tiered and metered prices count nothing. Minor units, no tax. `at` (epoch seconds) is the moment for
    which coupons count that end.
    """
    lines: list[Line] = []
    remarks: list[str] = []
    for item in items_of(subscription):
        line = _line(item, remarks)
        if isinstance(line, str):
            return Price(None, (*remarks, line))
        if line is not None:
            reductions = _reductions([item], subscription, at, settings, remarks)
            left = [line]
            for reduction in reductions:
                left = money.reduced(left, reduction)
            lines += left
    holder = subscription if _discounts(subscription) else record(subscription.get("customer"))
    return Price(money.total(lines, _reductions([holder], subscription, at, settings, remarks)), tuple(remarks))


def _line(item: Mapping[str, Any], remarks: list[str]) -> Line | str | None:
    """The item a month; None where it counts nothing; a remark alone where it cannot be read."""
    price = record(item.get("price")) or record(item.get("plan"))
    name = id_of(price) or "without an id"
    recurring = record(price.get("recurring")) or price  # a plan has these keys itself
    if recurring.get("usage_type") == "metered":
        remarks.append(f"price {name} is metered: counts nothing")
        return None
    if price.get("billing_scheme") == "tiered":
        remarks.append(f"price {name} is tiered: counts nothing")
        return None
    amounts = (price.get(key) for key in ("unit_amount", "unit_amount_decimal", "amount", "amount_decimal"))
    amount = next((a for a in amounts if a is not None), None)
    if amount is None:
        remarks.append(f"price {name} has no amount: counts nothing")
        return None
    unit_amount = money.number(amount)
    quantity = money.number(1 if item.get("quantity") is None else item["quantity"])
    count = recurring.get("interval_count", 1)
    packages = record(price.get("transform_quantity"))
    if unit_amount is None or quantity is None or isinstance(count, bool) or not isinstance(count, int):
        return f"price {name} cannot be read"
    units = money.billed_units(quantity, money.number(packages.get("divide_by")), packages.get("round") == "up")
    period = Period(str(recurring.get("interval")), count)
    try:
        return Line(money.monthly(unit_amount, units, period), period, id_of(price.get("product")))
    except ValueError:
        return f"price {name} cannot be read"


def _discounts(holder: Mapping[str, Any]) -> list[Any]:
    """The discounts of a subscription, an item or a customer: one in `discount` or several in `discounts`."""
    several = listed(holder.get("discounts"))
    return several or ([holder["discount"]] if holder.get("discount") else [])


def coupon_of(discount: Any) -> Any:
    """The coupon of a discount, where versions from 2025-09-30 on have it or where the earlier ones did; or its id."""
    return record(record(discount).get("source")).get("coupon") or record(discount).get("coupon")


def _reductions(
    holders: Iterable[Mapping[str, Any]],
    subscription: Mapping[str, Any],
    at: int,
    settings: Settings,
    remarks: list[str],
) -> Iterator[Reduction]:
    for discount in (d for holder in holders for d in _discounts(holder)):
        coupon = record(coupon_of(discount))
        name = id_of(coupon_of(discount)) or id_of(discount) or "without an id"
        if not coupon:
            remarks.append(f"discount {name} is not expanded: counts nothing")
            continue
        if settings.coupons == "forever" and coupon.get("duration") != "forever":
            continue
        begins, ends = moment(record(discount).get("start")), moment(record(discount).get("end"))
        if (begins is not None and at < begins) or (ends is not None and at >= ends):
            continue
        percent, amount = money.number(coupon.get("percent_off")), money.number(coupon.get("amount_off"))
        if percent is None and amount is not None and coupon.get("currency") != subscription.get("currency"):
            remarks.append(f"coupon {name} is in another currency: counts nothing")
            continue
        products = record(coupon.get("applies_to")).get("products")
        yield Reduction(percent, amount, frozenset(map(str, products)) if isinstance(products, list) else None)


# --- One state ---


def is_wanted(subscription: Mapping[str, Any], settings: Settings) -> bool:
    """Whether a subscription is of the mode that is read."""
    return subscription.get("livemode") is not (settings.mode == "test")


def user_of(subscription: Mapping[str, Any], settings: Settings) -> str | None:
    """Who a subscription belongs to: what its metadata says, else that of its customer, else the customer."""
    customer = subscription.get("customer")
    return (
        _text(record(subscription.get("metadata")).get(settings.user_id))
        or _text(record(record(customer).get("metadata")).get(settings.user_id))
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
    """Whether a subscription that Stripe calls active brings nothing, since its invoices are not collected."""
    pause = record(subscription.get("pause_collection"))
    if not pause or settings.pause_collection == "paying":
        return False
    return settings.pause_collection == "suspended" or pause.get("behavior") != "keep_as_draft"


def status_of(subscription: Mapping[str, Any], settings: Settings) -> str | None:
    """Stripe's status, `paused` where collection is."""
    status = _text(subscription.get("status"))
    return "paused" if status in ("active", "past_due") and is_paused(subscription, settings) else status


def started(subscription: Mapping[str, Any]) -> int | None:
    """When it began; that may be before it was created."""
    return moment(subscription.get("start_date")) or moment(subscription.get("created"))


def ended(subscription: Mapping[str, Any]) -> int | None:
    """When it was over. That somebody asked for it (canceled_at) or it is planned (cancel_at) is no end."""
    if over := moment(subscription.get("ended_at")):
        return over
    return moment(subscription.get("canceled_at")) if subscription.get("status") == "canceled" else None


def state_of(subscription: Mapping[str, Any], at: int, settings: Settings) -> tuple[State, tuple[str, ...]]:
    """What an object says of its subscription at a moment (epoch seconds), and what of its price is not counted."""
    currency = _text(subscription.get("currency")) or next(
        (c for i in items_of(subscription) if (c := _text(record(i.get("price")).get("currency")))), None
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
        mrr=None if minor is None or currency is None else money.as_text(money.major(minor, currency)),
        status=settings.statuses.get(status, status) if status else None,
        currency=currency.upper() if currency else None,
    )
    return state, price.remarks


# --- The states behind one object ---


def states_behind(subscription: Mapping[str, Any], at: int, settings: Settings) -> Iterator[Since]:
    """The states that an object knows of, in their order, at the price that it has at a moment (epoch seconds).

    An object says what is, and when some of it began: the trial, what came after it, the end. What it does not say is
    taken from the latest period: a subscription past due, unpaid or paused has been so since that began.
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
    """When the latest period began: on the items since 2025-03-31, on the subscription before."""
    begun = [moment(holder.get("current_period_start")) for holder in (subscription, *items_of(subscription))]
    return max((b for b in begun if b is not None), default=None)


# --- Events ---


def undone(subscription: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """An object as it was before an event: previous_attributes put back, within objects key by key, lists whole."""
    before = dict(subscription)
    for key, value in previous.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            before[key] = undone(before[key], value)
        else:
            before[key] = value
    if "discount" in previous and "discounts" not in previous:
        # An event of an earlier version of the API, put back into an object of a later one.
        before.pop("discounts", None)
    return before


def object_before(
    subscription: Mapping[str, Any], event: Mapping[str, Any], status: str | None = None
) -> dict[str, Any] | None:
    """An object as it was before an event that changed or ended it; None where the event made it.

    An end does not say what it ended: the status that the event before left, where that is known, else by the trial.
    """
    data = record(event.get("data"))
    previous = dict(record(data.get("previous_attributes")))
    if event.get("type") == CREATED:
        return None
    if event.get("type") == DELETED:
        in_trial = (moment(subscription.get("trial_end")) or 0) > (moment(event.get("created")) or 0)
        previous = {"status": status or ("trialing" if in_trial else "active"), "ended_at": None} | previous
    return undone(subscription, previous)


class Change(NamedTuple):
    """An event: what held after it, what held before (None where it does not say), and what was not counted."""

    event_id: str
    kind: str
    created: int
    after: State
    before: State | None
    object_before: Mapping[str, Any] | None
    remarks: tuple[str, ...]


def change_of(event: Mapping[str, Any], settings: Settings) -> Change | None:
    """What an event says of a subscription; None where it lacks its id, its moment or its subscription."""
    data = record(event.get("data"))
    after, created, event_id = record(data.get("object")), moment(event.get("created")), id_of(event)
    if not after or created is None or event_id is None:
        return None
    state, remarks = state_of(after, created, settings)
    was, before = object_before(after, event), None
    if was is not None and event.get("type") == UPDATED:
        before, unsure = state_of(was, created - 1, settings)
        if any("is not expanded" in remark for remark in unsure):
            before = None  # a price without a discount that it had would never have been the price
    return Change(event_id, str(event.get("type")), created, state, before, was, remarks)


_ORDER = {CREATED: 0, UPDATED: 1, DELETED: 2}


def in_order(changes: Iterable[Change]) -> list[Change]:
    """The changes of one subscription as they happened, each event once.

    Moments are whole seconds, so that several events may share one: then each follows the one whose result it changed.
    """
    distinct = {change.event_id: change for change in reversed(list(changes))}
    left = sorted(distinct.values(), key=lambda c: (c.created, _ORDER.get(c.kind, 1), c.event_id))
    ordered: list[Change] = []
    while left:
        same = [c for c in left if (c.created, c.kind) == (left[0].created, left[0].kind)]
        latest = ordered[-1].after if ordered else None
        follows = (c for c in same if c.before is not None and c.before == latest)
        begins = (c for c in same if not any(o is not c and o.after == c.before for o in same))
        chosen = next(follows, None) or next(begins, None) or same[0]
        ordered.append(chosen)
        left.remove(chosen)
    return ordered


def states_of_changes(changes: list[Change]) -> Iterator[tuple[Change, Since]]:
    """The states that changes in their order tell of, each with the change that tells it.

    What held before a change is told, to the millisecond before it, unless the change before has told it.
    """
    latest = None
    number = 0
    for place, change in enumerate(changes):
        number = number + 1 if place and changes[place - 1].created == change.created else 0
        at_ms = change.created * 1000 + number
        if change.before is not None and change.before not in (change.after, latest):
            yield change, Since(change.before, at_ms - 1)
        yield change, Since(change.after, at_ms)
        latest = change.after


# --- Links ---


def link_of(subscription: Mapping[str, Any], settings: Settings) -> tuple[str | None, ...] | None:
    """A row of raw_links where the customer says which user it is: rows with the customer's id alone are that user's.

    Not where the subscription says it: one customer may pay for the subscriptions of several users.
    """
    customer = record(subscription.get("customer"))
    user, customer_id = _text(record(customer.get("metadata")).get(settings.user_id)), id_of(customer)
    since = moment(customer.get("created")) or started(subscription)
    if user is None or customer_id is None or user == customer_id or since is None:
        return None
    return (f"stripe-{customer_id}", iso(since * 1000), user, None, customer_id, None)
