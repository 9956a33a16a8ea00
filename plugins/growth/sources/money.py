"""What prices bring in a month. Pure functions on Decimal.

Amounts are in minor units (cents) of a currency. A price is an amount for each period of `count` intervals; all amounts
that are added up are monthly amounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, NamedTuple

# 52 weekly invoices a year, so that twelve months of MRR are a year's revenue; four weeks a month would lose four weeks
# a year. The same rule holds for days. Stripe's documents define it for the year alone (1,200 a year are 100 a month).
PERIODS_A_YEAR = {"day": 365, "week": 52, "month": 12, "year": 1}

# Smaller than any minor unit, so that twelve monthly shares of a yearly price add up to the year.
_PLACES = Decimal("0.000001")


class Period(NamedTuple):
    """The time that an amount is for: `count` days, weeks, months or years."""

    interval: str
    count: int

    def a_month(self, amount: Decimal) -> Decimal:
        """The monthly amount of an amount for each period. Raises ValueError for an unknown interval."""
        if self.interval not in PERIODS_A_YEAR or self.count < 1:
            raise ValueError(f"{self.count} {self.interval} is no period")
        return amount * PERIODS_A_YEAR[self.interval] / (12 * self.count)


class Line(NamedTuple):
    """One item of a subscription: minor units a month, its billing period, its product."""

    monthly: Decimal
    period: Period
    product: str | None = None


class Reduction(NamedTuple):
    """A coupon: a percentage (0 to 100) off, or an amount off each invoice; for some products, or all (None)."""

    percent_off: Decimal | None = None
    amount_off: Decimal | None = None
    products: frozenset[str] | None = None

    def applies_to(self, line: Line) -> bool:
        return self.products is None or line.product in self.products


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
    """How many units are billed: quantity, or how many packages of `divide_by` units it fills."""
    if divide_by is None or divide_by <= 0:
        return quantity
    packages = quantity / divide_by
    whole = packages.to_integral_value("ROUND_FLOOR")
    return whole + 1 if round_up and packages > whole else whole


def monthly(unit_amount: Decimal, quantity: Decimal, period: Period) -> Decimal:
    """The monthly amount of `quantity` units at `unit_amount` each period."""
    return period.a_month(unit_amount * quantity)


def reduced(lines: Sequence[Line], reduction: Reduction) -> list[Line]:
    """The lines after one coupon, none below 0.

    An amount off reduces every invoice, and invoices follow the shortest period of the lines that it applies to. It
    is divided among these lines in proportion to their amounts.
    """
    affected = [line for line in lines if reduction.applies_to(line)]
    total = sum((line.monthly for line in affected), Decimal(0))
    if not total > 0:
        return list(lines)
    left = total
    if reduction.percent_off is not None:
        left = total * (100 - min(max(reduction.percent_off, Decimal(0)), Decimal(100))) / 100
    elif reduction.amount_off is not None:
        amount_off = max(reduction.amount_off, Decimal(0))
        left = max(Decimal(0), total - max(line.period.a_month(amount_off) for line in affected))
    return [
        line._replace(monthly=line.monthly * left / total) if reduction.applies_to(line) else line for line in lines
    ]


def total(lines: Iterable[Line], reductions: Iterable[Reduction] = ()) -> Decimal:
    """The monthly amount of all lines together, after the coupons in their order."""
    left = list(lines)
    for reduction in reductions:
        left = reduced(left, reduction)
    return sum((line.monthly for line in left), Decimal(0))
