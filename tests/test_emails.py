"""Keeping, hashing and dropping e-mail addresses before they reach a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from worlds import Batches, Warehouse

from growth.days import Days
from growth.emails import chosen
from growth.errors import UserError
from growth.warehouse import pipeline
from growth.warehouse.landing import land
from growth.warehouse.schema import prepare

DAY = date(2026, 1, 31)
ADDRESS = "Ada@Example.com"
HASH = {"SAAS_GROWTH_EMAILS": "hash", "SAAS_GROWTH_EMAIL_KEY": "a key that nobody guesses"}


def test_addresses_are_kept_unless_somebody_says_otherwise() -> None:
    assert chosen({})(ADDRESS) == ADDRESS


def test_addresses_can_be_dropped() -> None:
    assert chosen({"SAAS_GROWTH_EMAILS": "drop"})(ADDRESS) is None


def test_a_hash_is_the_same_for_the_same_address_however_it_is_written_and_another_under_another_key() -> None:
    hashed, other = chosen(HASH), chosen(HASH | {"SAAS_GROWTH_EMAIL_KEY": "another key, as good as that"})
    assert hashed(ADDRESS) == hashed(" ada@example.com ") != other(ADDRESS)
    assert hashed("eve@example.com") != hashed(ADDRESS)
    assert "ada" not in hashed(ADDRESS)
    assert [hashed(none) for none in (None, "", " ")] == [None, "", " "]


@pytest.mark.parametrize("setting", [{"SAAS_GROWTH_EMAILS": "hide"}, HASH | {"SAAS_GROWTH_EMAIL_KEY": "short"}])
def test_a_setting_that_protects_nobody_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(UserError, match="SAAS_GROWTH_EMAIL"):
        chosen(setting)


@pytest.mark.parametrize("setting", [HASH, {"SAAS_GROWTH_EMAILS": "drop"}])
def test_no_table_and_no_reject_has_an_address(setting: dict[str, str], warehouse: Callable[..., Warehouse]) -> None:
    good = {"user_id": "ada", "signup_date": "2026-01-05", "email": ADDRESS}
    source = Batches({DAY: {"raw_users": [good, good | {"user_id": "eve", "signup_date": "soon"}]}})
    w = warehouse(source)
    prepare(w.connection, w.sql)
    land(w.connection, w.sql, source, Days(DAY, DAY), {"dag_id": "d", "run_id": "r"}, protect=chosen(setting))
    pipeline.compute(w.connection, w.sql, {"dag_id": "d", "run_id": "r", "first_day": "", "last_day": ""})
    assert w.query("select count(*) from rejects") == [(1,)]
    assert [line for line in w.connection.iterdump() if "example.com" in line.lower()] == []
