"""The tables of Fivetran's connector, put together to subscriptions again."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from test_stripe_files import WithUsers, sentence_of
from worlds import Warehouse

from growth.sources import open_source
from growth.sources.stripe.fivetran import StripeFivetran
from growth.sources.stripe.settings import load_settings

SETTINGS = load_settings()
DAY = date(2025, 2, 1)

SUBSCRIPTIONS = """id,_fivetran_synced,customer_id,status,created,start_date,ended_at,livemode,metadata
sub_1,2025-02-01 10:00:00,cus_1,active,2025-01-01 12:00:00,2025-01-01 12:00:00,,true,{}
sub_2,2025-02-02 10:00:00.000000,cus_2,canceled,2025-01-01 12:00:00,2025-01-01 12:00:00,2025-01-20 12:00:00,TRUE,
sub_3,2025-02-02 10:00:00,cus_3,active,2025-01-01 12:00:00,2025-01-01 12:00:00,,false,"{""user_id"":""u-3""}"
"""
ITEMS = """id,subscription_id,price_id,plan_id,quantity
si_1,sub_1,price_1,,2
si_2,sub_1,,plan_1,
si_3,sub_2,price_2,,1
"""
PRICES = """id,currency,unit_amount,unit_amount_decimal,recurring_interval,recurring_interval_count,product_id
price_1,usd,5000,5000,month,1,prod_1
price_2,eur,,0.5,year,1,prod_2
"""
PLANS = """id,currency,amount,interval,interval_count,usage_type,billing_scheme
plan_1,usd,12000,year,1,licensed,per_unit
"""
CUSTOMERS = """id,created,email,metadata
cus_1,2024-12-01 00:00:00,a@example.com,"{""user_id"":""u-1""}"
"""
COUPONS = """id,amount_off,currency,duration,percent_off
half,,usd,forever,50.0
"""
DISCOUNTS = """id,coupon_id,customer_id,subscription_id,start,end
di_1,half,cus_1,sub_1,2025-01-01 00:00:00,
"""


def export(folder: Path, **more: str) -> Path:
    """A folder with the tables, some of them replaced."""
    tables = {
        "subscription": SUBSCRIPTIONS,
        "subscription_item": ITEMS,
        "price": PRICES,
        "plan": PLANS,
        "customer": CUSTOMERS,
        "coupon": COUPONS,
        "subscription_discount": DISCOUNTS,
    }
    folder.mkdir(exist_ok=True)
    for name, text in (tables | more).items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def rows(folder: Path, **changes: Any) -> list[tuple[Any, ...]]:
    source = StripeFivetran(folder, SETTINGS.model_copy(update=changes))
    wanted = ["batch_date", "subscription_id", "user_id", "status", "mrr", "currency", "changed_at"]
    return [
        row
        for piece in source.pieces(source.first_day, source.last_day)
        for row in piece["raw_subscriptions"][wanted].itertuples(index=False, name=None)
    ]


def test_the_tables_give_price_user_and_states(tmp_path: Path) -> None:
    # Two at 50 and one at 120 a year, half of it; and half a cent a year.
    assert rows(export(tmp_path)) == [
        ("2025-02-01", "sub_1", "u-1", "active", "55", "USD", "2025-01-01T12:00:00.000Z"),
        ("2025-02-02", "sub_2", "cus_2", "active", "0.000417", "EUR", "2025-01-01T12:00:00.000Z"),
        ("2025-02-02", "sub_2", "cus_2", "cancelled", "0.000417", "EUR", "2025-01-20T12:00:00.000Z"),
    ]
    assert [row[1:3] for row in rows(tmp_path, mode="test")] == [("sub_3", "u-3")]


def test_tables_that_are_not_there_leave_out_what_they_say(tmp_path: Path) -> None:
    export(tmp_path)
    for name in ("customer", "coupon", "subscription_discount", "plan"):
        (tmp_path / f"{name}.csv").unlink()
    # An item whose plan nobody knows has no price, and counts nothing.
    assert rows(tmp_path)[0][1:5] == ("sub_1", "cus_1", "active", "100")
    counts = next(StripeFivetran(tmp_path, SETTINGS).pieces(DAY, DAY))["unmapped_events"]
    assert list(counts["event_name"]) == ["price plan_1 has no amount: counts nothing"]
    # Without prices there is no currency either, so that staging rejects the row.
    (tmp_path / "price.csv").unlink()
    assert rows(tmp_path)[0][1:6] == ("sub_1", "cus_1", "active", None, None)


def test_files_are_known_by_the_name_of_their_table(tmp_path: Path) -> None:
    text = (export(tmp_path) / "subscription.csv").read_bytes()
    (tmp_path / "subscription.csv").unlink()
    (tmp_path / "stripe_subscription_data.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "subscription_history.csv").write_text("not looked at")
    assert len(rows(tmp_path)) == 3


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    def sentence(**more: str) -> str:
        return sentence_of(lambda: rows(export(tmp_path, **more)))

    header = SUBSCRIPTIONS.splitlines()[0] + "\n"
    assert "is Fivetran's table subscription with rows in it" in sentence(subscription=header)
    assert "export the column _fivetran_synced" in sentence(subscription=header + "sub_1,,cus_1,active,,,,true,\n")
    assert "the second file of the table plan" in sentence(old_plan="id\n")
    (tmp_path / "old_plan.csv").unlink()
    (tmp_path / "plan.csv").write_bytes(b"id\n\xff\n")
    assert "is not UTF-8" in sentence_of(lambda: rows(tmp_path))
    assert "There is no folder" in sentence_of(lambda: rows(tmp_path / "none"))
    assert "DATA=<folder>" in sentence_of(lambda: open_source({"SAAS_GROWTH_SOURCE": "stripe_fivetran"}))


def test_the_sample_of_fivetran_lands_what_is_counted_in_it(
    shared_data: Path, tmp_path: Path, warehouse: Callable[..., Warehouse]
) -> None:
    source = StripeFivetran(shared_data / "data" / "sources" / "stripe")
    there = warehouse(WithUsers(source, ["sdf6547", "123fsdf"], date(2021, 2, 18)))
    there.run(source.first_day, source.last_day)
    # Two subscriptions, each with one of the fourteen items: 1,500 a month, and two times 1,500.
    assert there.query("select subscription_id, status, mrr, currency from stg_subscriptions order by 1") == [
        ("sdgfs4536", "active", 1500.0, "USD"),
        ("sfjytkyu876", "active", 3000.0, "USD"),
    ]
    assert there.query("select count(*) from rejects") == [(0,)]
    assert there.differences_from_rebuild() == []


@pytest.mark.parametrize("text", ["", "never", "2025-02-30", "12"])
def test_a_moment_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    broken = SUBSCRIPTIONS.replace("2025-01-20 12:00:00", text)
    assert [row[3] for row in rows(export(tmp_path, subscription=broken))] == ["active", "cancelled"]
