"""Prices as billing systems write them, to what they bring in a month. Pure functions on Decimal.

Amounts are in minor units (cents) of a currency unless a name says `major`. A price is so much for each period of
`count` intervals; all amounts that are added up are amounts a month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, NamedTuple

# Digits after the point of a major unit, where they are not two, as Stripe's API has them (docs.stripe.com/currencies,
# "Zero-decimal currencies", "Three-decimal currencies", "Special cases"). ISK and UGX have no minor unit either, but
# Stripe goes on writing them with two digits, and so do HUF and TWD outside of payouts: they are not in the list.
_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL = "BHD JOD KWD OMR TND"
_EXPONENTS = dict.fromkeys(_ZERO_DECIMAL.split(), 0) | dict.fromkeys(_THREE_DECIMAL.split(), 3)

# A year has 52 weekly invoices, so that twelve months of MRR are what a year brings; four weeks a month would lose a
# month's worth of them. Days by the same rule. Stripe's documents name the year alone (1,200 a year are 100 a month).
PERIODS_A_YEAR = {"day": 365, "week": 52, "month": 12, "year": 1}

# Below any minor unit: a month's share of a yearly price is kept, so that twelve of them add up to the year.
_PLACES = Decimal("0.000001")


class Period(NamedTuple):
    """What an amount is for: `count` days, weeks, months or years."""

    interval: str
    count: int

    def a_month(self, amount: Decimal) -> Decimal:
        """What an amount for each period is in a month. Raises ValueError for an interval that is none."""
        if self.interval not in PERIODS_A_YEAR or self.count < 1:
            raise ValueError(f"{self.count} {self.interval} is no period")
        return amount * PERIODS_A_YEAR[self.interval] / (12 * self.count)


class Line(NamedTuple):
    """One item of a subscription: minor units a month, the period in which it is billed, what it is for."""

    monthly: Decimal
    period: Period
    product: str | None = None


class Reduction(NamedTuple):
    """A coupon: a percentage (0 to 100) off, or an amount off each invoice; for some products, or all (None)."""

    percent_off: Decimal | None = None
    amount_off: Decimal | None = None
    products: frozenset[str] | None = None

    def concerns(self, line: Line) -> bool:
        return self.products is None or line.product in self.products


def exponent(currency: str) -> int:
    """How many digits after the point a major unit of the currency has in Stripe's amounts."""
    return _EXPONENTS.get(currency.upper(), 2)


def major(minor: Decimal, currency: str) -> Decimal:
    """Minor units as major ones: 9900 USD are 99, 3000 JPY are 3000."""
    return minor.scaleb(-exponent(currency))


def as_text(amount: Decimal) -> str:
    """An amount as plain text without trailing zeros, to a millionth: 99, 108.333333."""
    text = f"{amount.quantize(_PLACES, ROUND_HALF_EVEN):f}"
    return text.rstrip("0").rstrip(".")


def number(value: Any) -> Decimal | None:
    """A number of JSON, or one in a string, as Decimal; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def billed_units(quantity: Decimal, divide_by: Decimal | None, round_up: bool) -> Decimal:
    """How many units are billed: quantity, or the packages of `divide_by` that it fills (transform_quantity)."""
    if divide_by is None or divide_by <= 0:
        return quantity
    packages = quantity / divide_by
    whole = packages.to_integral_value("ROUND_FLOOR")
    return whole + 1 if round_up and packages > whole else whole


def monthly(unit_amount: Decimal, quantity: Decimal, period: Period) -> Decimal:
    """What `quantity` units at `unit_amount` each period bring in a month."""
    return period.a_month(unit_amount * quantity)


def reduced(lines: Sequence[Line], reduction: Reduction) -> list[Line]:
    """The lines after one coupon, none below 0.

    An amount off comes off every invoice, and invoices come as often as the shortest period of the lines that it is
    for; it is shared out by what these lines bring.
    """
    concerned = [line for line in lines if reduction.concerns(line)]
    total = sum((line.monthly for line in concerned), Decimal(0))
    if not total > 0:
        return list(lines)
    left = total
    if reduction.percent_off is not None:
        left = total * (100 - min(max(reduction.percent_off, Decimal(0)), Decimal(100))) / 100
    elif reduction.amount_off is not None:
        amount_off = max(reduction.amount_off, Decimal(0))
        left = max(Decimal(0), total - max(line.period.a_month(amount_off) for line in concerned))
    return [line._replace(monthly=line.monthly * left / total) if reduction.concerns(line) else line for line in lines]


def total(lines: Iterable[Line], reductions: Iterable[Reduction] = ()) -> Decimal:
    """Minor units a month of all lines together, after the coupons in their order."""
    left = list(lines)
    for reduction in reductions:
        left = reduced(left, reduction)
    return sum((line.monthly for line in left), Decimal(0))
