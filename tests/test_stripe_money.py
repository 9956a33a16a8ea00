"""Money: minor units, periods, quantities and coupons, by examples that Stripe publishes and by their laws."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.sources import money
from growth.sources.money import PERIODS_A_YEAR, Line, Period, Reduction
from growth.sources.stripe.prices import exponent, major

MONTH = Period("month", 1)
amounts = st.integers(0, 10**9).map(Decimal)
periods = st.builds(Period, st.sampled_from(sorted(PERIODS_A_YEAR)), st.integers(1, 36))
products = st.sampled_from(["a", "b", None])
lines = st.lists(st.builds(Line, amounts, periods, products), max_size=6)
percents = st.decimals(0, 100, places=2)
some_products = st.none() | st.frozensets(st.sampled_from(["a", "b"]))
reductions = st.builds(Reduction, percents, st.none(), some_products) | st.builds(
    Reduction, st.none(), amounts, some_products
)


def close(a: Decimal, b: Decimal) -> bool:
    return abs(a - b) < Decimal("0.000001")


@pytest.mark.parametrize(
    ("minor", "currency", "expected"),
    [
        ("9900", "usd", "99"),
        ("9950", "EUR", "99.5"),
        ("3000", "jpy", "3000"),
        ("5120", "KWD", "5.12"),
        ("0.5", "usd", "0.005"),
        ("0", "usd", "0"),
        # Two digits in Stripe's API, though ISO 4217 has none.
        ("500", "isk", "5"),
        ("500", "ugx", "5"),
        ("100000", "usd", "1000"),
    ],
)
def test_minor_units_become_major_ones_by_the_exponent_of_the_currency(
    minor: str, currency: str, expected: str
) -> None:
    assert money.as_text(major(Decimal(minor), currency)) == expected


def test_every_currency_without_two_digits_has_its_exponent() -> None:
    zero = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
    assert {exponent(code) for code in zero} == {0}
    assert {exponent(code) for code in ("BHD", "JOD", "KWD", "OMR", "TND")} == {3}
    assert {exponent(code) for code in ("USD", "EUR", "GBP", "HUF", "TWD", "XXX")} == {2}


@pytest.mark.parametrize(
    ("amount", "interval", "count", "monthly"),
    [
        (120_000, "year", 1, "10000"),
        (29_700, "month", 3, "9900"),
        (24_000, "year", 2, "1000"),
        (1200, "week", 1, "5200"),
        (1200, "week", 2, "2600"),
        (1200, "day", 1, "36500"),
        (1000, "week", 1, "4333.333333"),
    ],
)
def test_an_amount_for_a_period_becomes_one_for_a_month(amount: int, interval: str, count: int, monthly: str) -> None:
    assert money.as_text(Period(interval, count).a_month(Decimal(amount))) == monthly


@pytest.mark.parametrize(("interval", "count"), [("fortnight", 1), ("month", 0), ("month", -1), ("None", 1)])
def test_what_is_no_period_is_refused(interval: str, count: int) -> None:
    with pytest.raises(ValueError, match="is no period"):
        Period(interval, count).a_month(Decimal(1))


@given(amounts, periods)
def test_twelve_months_are_what_a_year_of_invoices_brings(amount: Decimal, period: Period) -> None:
    year = amount * PERIODS_A_YEAR[period.interval] / period.count
    assert close(12 * period.a_month(amount), year)


@given(st.integers(-(10**12), 10**12), st.sampled_from(["usd", "jpy", "kwd"]))
def test_whole_minor_units_survive_as_text(minor: int, currency: str) -> None:
    text = money.as_text(major(Decimal(minor), currency))
    assert Decimal(text).scaleb(exponent(currency)) == minor
    assert "E" not in text


@given(amounts, st.integers(0, 1000), periods)
def test_a_quantity_is_that_many_times_one(amount: Decimal, quantity: int, period: Period) -> None:
    one = money.monthly(amount, Decimal(1), period)
    assert close(money.monthly(amount, Decimal(quantity), period) / (quantity or 1), one if quantity else Decimal(0))


@given(st.integers(0, 10**6), st.integers(1, 1000), st.booleans())
def test_packages_hold_all_units_or_all_full_ones(quantity: int, size: int, up: bool) -> None:
    packages = money.billed_units(Decimal(quantity), Decimal(size), up)
    assert packages == (-(-quantity // size) if up else quantity // size)


@given(lines, st.lists(reductions, max_size=4))
def test_coupons_never_raise_a_price_nor_take_it_below_zero(lines: list[Line], reductions: list[Reduction]) -> None:
    before, after = money.total(lines), money.total(lines, reductions)
    assert -Decimal("0.000001") < after <= before + Decimal("0.000001")


@given(lines, percents)
def test_a_percentage_of_all_is_the_percentage_of_each(lines: list[Line], percent: Decimal) -> None:
    whole = money.total(lines, [Reduction(percent)])
    assert close(whole, sum((money.total([line], [Reduction(percent)]) for line in lines), Decimal(0)))
    assert close(whole, money.total(lines) * (100 - percent) / 100)


@given(lines, reductions)
def test_a_coupon_for_a_product_leaves_the_others_alone(lines: list[Line], reduction: Reduction) -> None:
    after = money.reduced(lines, reduction)
    for old, new in zip(lines, after, strict=True):
        if reduction.products is not None and old.product not in reduction.products:
            assert new == old
        assert (new.period, new.product) == (old.period, old.product)


@given(st.permutations([Line(Decimal(1000), MONTH), Line(Decimal(500), Period("year", 1)), Line(Decimal(7), MONTH)]))
def test_the_order_of_items_changes_no_total(lines: list[Line]) -> None:
    assert close(money.total(lines, [Reduction(None, Decimal(700)), Reduction(Decimal(10))]), Decimal("726.3"))


def test_coupons_apply_in_their_order() -> None:
    lines = [Line(Decimal(10_000), MONTH)]
    half, ten = Reduction(Decimal(50)), Reduction(None, Decimal(1000))
    assert money.total(lines, [half, ten]) == 4000
    assert money.total(lines, [ten, half]) == 4500


def test_an_amount_off_comes_off_every_invoice() -> None:
    off = Reduction(None, Decimal(1200))
    yearly, monthly = Line(Decimal(10_000), Period("year", 1)), Line(Decimal(10_000), MONTH)
    assert money.total([yearly], [off]) == 9900
    assert money.total([monthly], [off]) == 8800
    # Invoices come as often as the item that is billed most often.
    assert money.total([yearly, monthly], [off]) == 18_800


def test_the_glossary_of_stripe_adds_up() -> None:
    # docs.stripe.com, Billing glossary, MRR; its formula misprints the yearly price.
    monthly, yearly = money.monthly(Decimal(10_000), Decimal(100), MONTH), Period("year", 1)
    mrr = monthly + money.monthly(Decimal(60_000), Decimal(50), yearly)
    assert money.as_text(major(mrr, "usd")) == "12500"


@pytest.mark.parametrize("value", [None, True, "", "ten", [], {}, float("nan"), "Infinity"])
def test_what_is_no_number_is_none(value: object) -> None:
    assert money.number(value) is None


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_exactly_from_json_and_from_strings(value: int | Decimal) -> None:
    assert money.number(value) == money.number(str(value)) == Decimal(value)
