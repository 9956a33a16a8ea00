"""What a Stripe subscription brings in a month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from growth.sources import money
from growth.sources.money import Line, Period, Reduction
from growth.sources.stripe.objects import id_of, listed, moment, record
from growth.sources.stripe.settings import Settings

# Currencies whose major unit has no or three digits after the point in Stripe's amounts instead of two
# (docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies", "Special cases"). ISK and UGX have
# no minor unit either, but Stripe writes them with two digits, and HUF and TWD too except in payouts.
_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL = "BHD JOD KWD OMR TND"
_EXPONENTS = dict.fromkeys(_ZERO_DECIMAL.split(), 0) | dict.fromkeys(_THREE_DECIMAL.split(), 3)


def exponent(currency: str) -> int:
    """How many digits after the point a major unit has in Stripe's amounts."""
    return _EXPONENTS.get(currency.upper(), 2)


def major(minor: Decimal, currency: str) -> Decimal:
    """Minor units as major ones: 9900 USD are 99, 3000 JPY are 3000."""
    return minor.scaleb(-exponent(currency))


class Price(NamedTuple):
    """What a subscription brings a month in minor units (None: unreadable), and remarks on what is not counted."""

    monthly: Decimal | None
    remarks: tuple[str, ...] = ()


def items_of(subscription: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of a subscription. Before 2018-02-05 a subscription had one plan and no items."""
    items = [record(item) for item in listed(subscription.get("items"))]
    if not items and "items" not in subscription and record(subscription.get("plan")):
        return [{"plan": subscription["plan"], "quantity": subscription.get("quantity")}]
    return items


def price_of(subscription: Mapping[str, Any], at: int, settings: Settings) -> Price:
    """The value of a subscription in a month, as Stripe defines MRR (docs.stripe.com, Billing glossary).

    The sum of all items, each with its own period, after the coupons of the items and then those of the subscription,
    or else the one of its customer. Tiered and metered prices count nothing. Minor units without tax. A coupon counts
    if it runs at the moment `at` (epoch seconds).
    """
    lines: list[Line] = []
    remarks: list[str] = []
    for item in items_of(subscription):
        line = _line(item, remarks)
        if isinstance(line, str):
            return Price(None, (*remarks, line))
        if line is not None:
            left = [line]
            for reduction in _reductions(item, subscription, at, settings, remarks):
                left = money.reduced(left, reduction)
            lines += left
    holder = subscription if _discounts(subscription) else record(subscription.get("customer"))
    return Price(money.total(lines, _reductions(holder, subscription, at, settings, remarks)), tuple(remarks))


def _line(item: Mapping[str, Any], remarks: list[str]) -> Line | str | None:
    """An item a month; None if it counts nothing; only a remark if it cannot be read."""
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
    """The coupon of a discount or its id; it has another place in API versions from 2025-09-30 on."""
    return record(record(discount).get("source")).get("coupon") or record(discount).get("coupon")


def _reductions(
    holder: Mapping[str, Any], subscription: Mapping[str, Any], at: int, settings: Settings, remarks: list[str]
) -> Iterator[Reduction]:
    for discount in _discounts(holder):
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
