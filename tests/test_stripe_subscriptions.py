"""What one object or event of Stripe says: price, status, user, plan, moments. By the published expectations."""

from __future__ import annotations

import copy
import csv
import json
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from stripe_server import at, coupon, discount, event, item, items, price, subscription

from growth.errors import UserError
from growth.language import definitions
from growth.sources.stripe.events import CREATED, DELETED, UPDATED, change_of, in_order, states_of_changes, undone
from growth.sources.stripe.objects import parse
from growth.sources.stripe.prices import exponent, price_of
from growth.sources.stripe.settings import PATH as SETTINGS_PATH
from growth.sources.stripe.settings import Settings, load_settings
from growth.sources.stripe.subscriptions import is_wanted, link_of, state_of, states_behind

SETTINGS = load_settings()
NOW = at("2025-02-15")
RULES = definitions.load().subscriptions.statuses


def settings(**changes: Any) -> Settings:
    return SETTINGS.model_copy(update=changes)


def minor_units(each: dict[str, Any], using: Settings = SETTINGS) -> Decimal:
    """What counts of a subscription, by the status rule of the dictionary."""
    state, _ = state_of(each, NOW, using)
    if not is_wanted(each, using) or RULES[state.status] != "paying":
        return Decimal(0)
    return Decimal(state.mrr).scaleb(exponent(state.currency))


def mrr(*each: dict[str, Any], using: Settings = SETTINGS, **more: Any) -> str | None:
    return state_of(subscription(items=items(*each), **more), NOW, using)[0].mrr


def remarks(**more: Any) -> tuple[str, ...]:
    return state_of(subscription(**more), NOW, SETTINGS)[1]


# --- The published expectations ---


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    folder = shared_data / "data" / "sources" / "stripe"
    pages = parse((folder / "subscriptions_pages.json").read_text(encoding="utf-8"))
    with open(folder / "expected_mrr.csv", encoding="utf-8") as file:
        expected = {row["subscription_id"]: row for row in csv.DictReader(file)}
    return {each["id"]: each for page in pages for each in page["data"]}, expected


def test_the_26_expected_mrrs_come_out(samples: Any) -> None:
    subscriptions, expected = samples
    assert subscriptions.keys() == expected.keys()
    decided = {name: row for name, row in expected.items() if row["expected_mrr_minor_units"]}
    assert len(decided) == 26
    ours = {name: minor_units(subscriptions[name]) for name in decided}
    assert ours == {name: Decimal(row["expected_mrr_minor_units"]) for name, row in decided.items()}
    assert sum(ours[n] for n, row in decided.items() if row["currency"] == "usd") == 107_100
    assert sum(ours[n] for n, row in decided.items() if row["currency"] == "jpy") == 3000


def test_the_two_choices_are_52_weeks_a_year_and_no_revenue_from_invoices_that_are_void(samples: Any) -> None:
    subscriptions, expected = samples
    assert {n for n, row in expected.items() if not row["expected_mrr_minor_units"]} == {"sub_week", "sub_collpause"}
    assert minor_units(subscriptions["sub_week"]).quantize(Decimal("0.01")) == Decimal("10833.33")
    assert minor_units(subscriptions["sub_collpause"]) == 0
    assert minor_units(subscriptions["sub_collpause"], settings(pause_collection="paying")) == 4900


def test_the_sums_that_profitable_publishes_come_out() -> None:
    # rameerez/profitable, test/mrr_calculator_test.rb: of three, one counts; a hundred add up.
    three = [
        subscription("a", items=items(item(price(5000)))),
        subscription("b", items=items(item(price(3000))), status="trialing"),
        subscription("c", items=items(item(price(2000))), status="canceled", ended_at=NOW),
    ]
    assert sum(map(minor_units, three)) == 5000
    assert sum(minor_units(subscription(f"s{n}", items=items(item(price(100))))) for n in range(100)) == 10_000


def test_a_new_and_a_churned_subscription_have_their_full_rate() -> None:
    today = subscription(since=NOW - 60)
    gone = subscription(status="canceled", ended_at=NOW)
    assert state_of(today, NOW, SETTINGS)[0].mrr == state_of(gone, NOW, SETTINGS)[0].mrr == "50"


def test_the_glossary_of_stripe_adds_up() -> None:
    monthly = [subscription(f"m{n}", items=items(item(price(10_000)))) for n in range(100)]
    yearly = [subscription(f"y{n}", items=items(item(price(60_000, "year")))) for n in range(50)]
    assert sum(map(minor_units, [*monthly, *yearly])) == 1_250_000


def test_every_field_of_the_api_is_read_without_an_error(shared_data: Path) -> None:
    path = shared_data / "data" / "sources" / "stripe" / "openapi_fixtures.json"
    fixtures = parse(path.read_text(encoding="utf-8"))
    state, _ = state_of(fixtures["subscription"], NOW, SETTINGS)
    assert state.subscription_id == "sub_1Pgc6rB7WZ01zgkWNy0Cn5nw"
    assert (state.user_id, state.currency, state.start_date) == ("cus_QXg1o8vcGmoR32", "USD", "2009-02-13")
    # The filler says that one unit is sold in packages of 1,592,560,163, of which only full ones are billed.
    assert state.mrr == "0"
    assert not is_wanted(fixtures["subscription"], SETTINGS)
    # A discount whose source names no coupon.
    with_discount = fixtures["subscription"] | {"discounts": [fixtures["discount"]]}
    assert price_of(with_discount, NOW, SETTINGS).remarks == (
        "discount di_1Pgc6rB7WZ01zgkW7Al8Fal9 is not expanded: counts nothing",
    )


# --- Prices ---


def test_items_of_different_periods_add_up() -> None:
    assert mrr(item(price(5000)), item(price(12_000, "year")), item(price(900, "month", 3), quantity=2)) == "66"


@pytest.mark.parametrize(("quantity", "expected"), [(None, "50"), (0, "0"), (3, "150")])
def test_a_missing_quantity_is_one(quantity: int | None, expected: str) -> None:
    assert mrr(item(quantity=quantity)) == expected


def test_fractions_of_a_cent_are_in_unit_amount_decimal() -> None:
    assert mrr(item(price(None, unit_amount_decimal="0.5"), quantity=1000)) == "5"


def test_packages_are_billed_as_transform_quantity_says() -> None:
    up = price(1000, transform_quantity={"divide_by": 10, "round": "up"})
    assert mrr(item(up, quantity=21)) == "30"
    assert mrr(item(up | {"transform_quantity": {"divide_by": 10, "round": "down"}}, quantity=21)) == "20"


@pytest.mark.parametrize(
    ("one", "remark"),
    [
        (price(100, recurring={"interval": "month", "usage_type": "metered"}), "price price_100_month is metered"),
        (price(None, billing_scheme="tiered"), "price price_None_month is tiered"),
        (price(None), "price price_None_month has no amount"),
    ],
)
def test_tiered_and_metered_prices_count_nothing_and_are_reported(one: dict[str, Any], remark: str) -> None:
    both = items(item(one), item(price(5000)))
    state, said = state_of(subscription(items=both), NOW, SETTINGS)
    assert (state.mrr, said) == ("50", (f"{remark}: counts nothing",))


@pytest.mark.parametrize(
    "one",
    [
        price(5000, "fortnight"),
        price(5000, count=0),
        price(5000, recurring={"interval": "month", "interval_count": "two"}),
        price("a lot"),
        price(5000, recurring=None),
    ],
)
def test_a_price_that_cannot_be_read_is_none_and_not_zero(one: dict[str, Any]) -> None:
    state, said = state_of(subscription(items=items(item(price(100)), item(one))), NOW, SETTINGS)
    assert state.mrr is None
    assert "cannot be read" in said[0]


def test_prices_of_the_first_versions_of_the_api_are_read() -> None:
    plan = {"id": "gold", "object": "plan", "amount": 12_000, "interval": "year", "interval_count": 1}
    by_item = subscription(items=items({"id": "si_1", "plan": plan, "quantity": 3}))
    assert state_of(by_item, NOW, SETTINGS)[0].mrr == "30"
    before_items = subscription(plan=plan, quantity=2)
    del before_items["items"]
    assert state_of(before_items, NOW, SETTINGS)[0].mrr == "20"


def test_a_subscription_without_items_costs_nothing() -> None:
    assert mrr() == "0"


# --- Coupons ---

HALF = coupon("half", percent_off=Decimal("50.0"))
TEN = coupon("ten", amount_off=1000, currency="usd")


@pytest.mark.parametrize(
    "one",
    [
        discount(HALF),
        {"id": "di_1", "object": "discount", "coupon": HALF, "start": 1, "end": None},
    ],
    ids=["source.coupon", "coupon"],
)
@pytest.mark.parametrize("key", ["discounts", "discount"])
def test_both_shapes_of_a_discount_are_read(one: dict[str, Any], key: str) -> None:
    more = {"discounts": [], key: [one] if key == "discounts" else one}
    assert mrr(item(), **more) == "25"
    assert mrr(item(price(5000), **more)) == "25"
    assert mrr(item(), customer={"id": "cus_1", "object": "customer", key: more[key]}) == "25"


def test_a_discount_that_is_an_id_is_reported_and_takes_nothing_off() -> None:
    assert remarks(discounts=["di_7"]) == ("discount di_7 is not expanded: counts nothing",)
    assert remarks(discounts=[discount(HALF) | {"source": {"type": "coupon", "coupon": "half"}}]) == (
        "discount half is not expanded: counts nothing",
    )
    assert mrr(item(), discounts=["di_7"]) == "50"


@pytest.mark.parametrize("duration", ["once", "repeating"])
def test_coupons_that_end_count_only_by_the_setting_and_while_they_run(duration: str) -> None:
    for_a_while = discount(HALF | {"duration": duration}, start=at("2025-01-01"), end=at("2025-04-01"))
    assert mrr(item(), discounts=[for_a_while]) == "50"
    assert mrr(item(), discounts=[for_a_while], using=settings(coupons="all")) == "25"
    over = for_a_while | {"end": NOW}
    assert mrr(item(), discounts=[over], using=settings(coupons="all")) == "50"
    to_come = for_a_while | {"start": NOW + 1}
    assert mrr(item(), discounts=[to_come], using=settings(coupons="all")) == "50"


def test_a_discount_of_the_subscription_goes_before_that_of_the_customer() -> None:
    customer = {"id": "cus_1", "object": "customer", "discount": discount(HALF)}
    assert mrr(item(), customer=customer, discounts=[discount(TEN)]) == "40"
    assert mrr(item(), customer=customer) == "25"


def test_discounts_of_items_come_first_and_concern_their_item_alone() -> None:
    both = [item(price(5000), discounts=[discount(HALF)]), item(price(3000))]
    assert mrr(*both) == "55"
    assert mrr(*both, discounts=[discount(TEN)]) == "45"


def test_an_amount_off_in_another_currency_is_reported() -> None:
    euros = TEN | {"currency": "eur"}
    assert mrr(item(), discounts=[discount(euros)]) == "50"
    assert remarks(discounts=[discount(euros)]) == ("coupon ten is in another currency: counts nothing",)


def test_a_coupon_applies_to_its_products_alone() -> None:
    for_one = HALF | {"applies_to": {"products": ["prod_2"]}}
    both = [item(price(5000)), item(price(3000, product="prod_2"))]
    assert mrr(*both, discounts=[discount(for_one)]) == "65"


def test_a_yen_coupon_takes_off_yen() -> None:
    yen = [item(price(3000, currency="jpy"))]
    assert mrr(*yen, currency="jpy", discounts=[discount(TEN | {"currency": "jpy"})]) == "2000"


# --- Who, what, when ---


def test_the_user_is_named_by_metadata_of_the_subscription_else_of_the_customer_else_it_is_the_customer() -> None:
    def user(using: Settings = SETTINGS, **more: Any) -> str | None:
        return state_of(subscription(**more), NOW, using)[0].user_id

    customer = {"id": "cus_9", "object": "customer", "metadata": {"user_id": "u-2", "external": "x-2"}}
    assert user(metadata={"user_id": "u-1"}, customer=customer) == "u-1"
    assert user(customer=customer) == "u-2"
    assert user(customer="cus_9") == user(customer={"id": "cus_9", "deleted": True}) == "cus_9"
    assert user(metadata={"user_id": ""}, customer="cus_9") == "cus_9"
    assert user(settings(user_id="external"), customer=customer) == "x-2"
    assert user(customer=None) is None


def test_a_customer_that_says_which_user_it_is_links_the_two() -> None:
    customer = {"id": "cus_9", "object": "customer", "created": at("2024-05-01"), "metadata": {"user_id": "u-2"}}
    linked = link_of(subscription(customer=customer), SETTINGS)
    assert linked == ("stripe-cus_9", "2024-05-01T12:00:00.000Z", "u-2", None, "cus_9", None)
    # One customer may pay for several users, each named by its own subscription: they are not one person.
    assert link_of(subscription(metadata={"user_id": "u-1"}, customer="cus_9"), SETTINGS) is None
    assert link_of(subscription(metadata={"user_id": "u-1"}, customer=customer | {"metadata": {}}), SETTINGS) is None


@pytest.mark.parametrize("name", ["price_5000_month", "prod_1", "the nickname", "the key"])
def test_the_plan_is_found_by_price_product_nickname_or_lookup_key(name: str) -> None:
    one = items(item(price(1, id="x", product="y")), item(price(nickname="the nickname", lookup_key="the key")))
    assert state_of(subscription(items=one), NOW, settings(plans={name: "Pro"}))[0].plan_name == "Pro"
    assert state_of(subscription(items=one), NOW, settings(plans={"other": "Pro"}))[0].plan_name == "Other"


@pytest.mark.parametrize(
    ("stripe", "ours", "rule"),
    [
        ("active", "active", "paying"),
        ("trialing", "trial", "trial"),
        ("past_due", "past_due", "paying"),
        ("unpaid", "unpaid", "suspended"),
        ("paused", "paused", "suspended"),
        ("canceled", "cancelled", "ended"),
        ("incomplete", "incomplete", "never"),
        ("incomplete_expired", "incomplete", "never"),
    ],
)
def test_every_status_of_stripe_has_a_word_and_a_rule(stripe: str, ours: str, rule: str) -> None:
    assert state_of(subscription(status=stripe), NOW, SETTINGS)[0].status == ours
    assert RULES[ours] == rule


def test_a_status_that_is_new_to_us_stays_as_it_came() -> None:
    state, _ = state_of(subscription(status="on_ice"), NOW, SETTINGS)
    assert state.status == "on_ice"
    assert [s.state for s in states_behind(subscription(status="on_ice"), NOW, SETTINGS)] == [state]


@pytest.mark.parametrize(
    ("setting", "behavior", "status"),
    [
        ("by_behavior", "void", "paused"),
        ("by_behavior", "mark_uncollectible", "paused"),
        ("by_behavior", "keep_as_draft", "active"),
        ("suspended", "keep_as_draft", "paused"),
        ("paying", "void", "active"),
    ],
)
def test_paused_collection_brings_nothing_unless_its_invoices_are_kept(
    setting: str, behavior: str, status: str
) -> None:
    paused = subscription(pause_collection={"behavior": behavior, "resumes_at": None})
    assert state_of(paused, NOW, settings(pause_collection=setting))[0].status == status


def test_ended_at_is_the_end_and_a_plan_is_none() -> None:
    def end(**more: Any) -> str | None:
        return state_of(subscription(**more), NOW, SETTINGS)[0].end_date

    later, earlier = at("2025-03-01"), at("2025-01-20")
    assert end(cancel_at=later, cancel_at_period_end=True, canceled_at=earlier) is None
    assert end(cancel_at=0, ended_at=0) is None
    assert end(status="canceled", canceled_at=earlier, ended_at=NOW) == "2025-02-15"
    assert end(status="canceled", canceled_at=earlier) == "2025-01-20"


def test_a_subscription_may_begin_before_it_was_created() -> None:
    backdated = subscription(since=at("2025-02-01"), start_date=at("2024-12-31", "23:59:59"))
    assert state_of(backdated, NOW, SETTINGS)[0].start_date == "2024-12-31"


@pytest.mark.parametrize("mode", ["live", "test"])
def test_objects_of_the_other_mode_are_dropped(mode: str) -> None:
    using = settings(mode=mode)
    assert is_wanted({"livemode": mode == "live"}, using)
    assert not is_wanted({"livemode": mode != "live"}, using)


@pytest.mark.parametrize("broken", [None, 7, "x", [], {}, [None], {"data": None}, {"data": [None, 3]}])
@pytest.mark.parametrize(
    "key",
    ["id", "customer", "status", "currency", "start_date", "items", "discounts", "discount", "metadata", "ended_at"],
)
def test_whatever_a_field_holds_is_no_error(key: str, broken: Any) -> None:
    each = subscription() | {key: broken}
    state_of(each, NOW, SETTINGS)
    assert list(states_behind(each, NOW, SETTINGS))
    change_of({"id": "evt", "type": UPDATED, "created": NOW, "data": {"object": each}}, SETTINGS)
    link_of(each, SETTINGS)


# --- The states behind an object ---


def behind(**more: Any) -> list[tuple[str | None, str | None]]:
    return [(s.state.status, s.row()[-1]) for s in states_behind(subscription(**more), NOW, SETTINGS)]


START, TRIAL_END = at("2025-01-01"), at("2025-01-15")
TRIAL = {"trial_start": START, "trial_end": TRIAL_END}
PERIOD = {"items": items(item(current_period_start=at("2025-02-01")))}


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ({}, [("active", "2025-01-01")]),
        (TRIAL, [("trial", "2025-01-01"), ("active", "2025-01-15")]),
        ({**TRIAL, "status": "trialing"}, [("trial", "2025-01-01")]),
        ({"status": "canceled", "ended_at": at("2025-02-10")}, [("active", "2025-01-01"), ("cancelled", "2025-02-10")]),
        (
            {**TRIAL, "status": "canceled", "ended_at": at("2025-02-10")},
            [("trial", "2025-01-01"), ("active", "2025-01-15"), ("cancelled", "2025-02-10")],
        ),
        # Nobody ever paid for a trial that ended with its subscription.
        (
            {**TRIAL, "status": "canceled", "ended_at": at("2025-01-10")},
            [("trial", "2025-01-01"), ("cancelled", "2025-01-10")],
        ),
        ({**TRIAL, "status": "paused"}, [("trial", "2025-01-01"), ("paused", "2025-01-15")]),
        ({"status": "incomplete"}, [("incomplete", "2025-01-01")]),
        ({"status": "incomplete_expired", "ended_at": at("2025-01-02")}, [("incomplete", "2025-01-01")]),
        ({**PERIOD, "status": "past_due"}, [("active", "2025-01-01"), ("past_due", "2025-02-01")]),
        ({**PERIOD, "status": "unpaid"}, [("active", "2025-01-01"), ("unpaid", "2025-02-01")]),
        ({"status": "unpaid"}, [("unpaid", "2025-01-01")]),
        (
            {"status": "unpaid", "current_period_start": at("2025-02-01")},
            [("active", "2025-01-01"), ("unpaid", "2025-02-01")],
        ),
        (
            {**PERIOD, "pause_collection": {"behavior": "void"}},
            [("active", "2025-01-01"), ("paused", "2025-02-01")],
        ),
    ],
)
def test_an_object_tells_the_states_that_its_dates_date(more: dict[str, Any], states: list[tuple[str, str]]) -> None:
    assert behind(**more) == [(status, f"{day}T12:00:00.000Z") for status, day in states]


def test_only_the_last_state_has_an_end() -> None:
    over = subscription(status="canceled", ended_at=at("2025-02-10"), **TRIAL)
    assert [s.state.end_date for s in states_behind(over, NOW, SETTINGS)] == [None, None, "2025-02-10"]


# --- Events ---


def test_what_was_before_is_what_previous_attributes_put_back() -> None:
    after = {"a": 1, "m": {"x": "new", "y": 2}, "items": items(item(price(9900))), "p": {"b": "void"}, "n": None}
    before = undone(after, {"a": None, "m": {"x": None}, "items": items(item(price(5000))), "p": None, "n": {"q": 1}})
    assert before == {
        "a": None,
        "m": {"x": None, "y": 2},
        "items": items(item(price(5000))),
        "p": None,
        "n": {"q": 1},
    }
    assert undone(before, {}) == before


def test_an_event_of_an_earlier_version_takes_discounts_of_a_later_one_back() -> None:
    now = subscription(discount=discount(HALF), discounts=[discount(HALF)])
    assert state_of(undone(now, {"discount": None}), NOW, SETTINGS)[0].mrr == "50"


def test_the_recorded_event_says_that_a_trial_became_active(shared_data: Path) -> None:
    path = shared_data / "data" / "sources" / "stripe" / "event_subscription_updated.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    assert not is_wanted(recorded["data"]["object"], SETTINGS)
    change = change_of(recorded, settings(mode="test"))
    assert change is not None
    assert (change.before.status, change.after.status) == ("trial", "active")
    assert (change.after.mrr, change.after.currency, change.after.user_id) == ("42.42", "USD", "cus_Nc4kL4EPtG5SKe")
    rows = [since.row() for _, since in states_of_changes([change])]
    assert [(row[6], row[-1]) for row in rows] == [
        ("trial", "2023-03-29T04:27:07.999Z"),
        ("active", "2023-03-29T04:27:08.000Z"),
    ]


def changes_of(*events: dict[str, Any]) -> list[Any]:
    return [change for each in events if (change := change_of(each, SETTINGS))]


def test_events_of_one_second_stand_in_the_order_in_which_they_follow_from_one_another() -> None:
    prices = [100, 200, 300, 400]
    objects = [subscription(items=items(item(price(p)))) for p in prices]
    events = [event(CREATED, NOW, objects[0], id="evt_z")]
    for name, old, new in zip("cab", objects[:-1], objects[1:], strict=True):
        events.append(event(UPDATED, NOW, new, {"items": old["items"]}, id=f"evt_{name}"))
    gone = objects[-1] | {"status": "canceled", "ended_at": NOW}
    events.append(event(DELETED, NOW, gone, id="evt_a0"))
    for some in permutations(events):
        ordered = in_order(changes_of(*some))
        assert [c.event_id for c in ordered] == ["evt_z", "evt_c", "evt_a", "evt_b", "evt_a0"]
    rows = [since.row() for _, since in states_of_changes(in_order(changes_of(*events)))]
    assert [(r[5], r[6]) for r in rows] == [(str(p // 100), "active") for p in prices] + [("4", "cancelled")]
    assert [r[-1] for r in rows] == ["2025-02-15T12:00:00.000Z", *(f"2025-02-15T12:00:00.00{n}Z" for n in range(1, 5))]


def test_an_event_that_comes_twice_is_one() -> None:
    one = event(UPDATED, NOW, subscription(), {"status": "trialing"})
    assert len(in_order(changes_of(one, copy.deepcopy(one)))) == 1


def test_a_change_that_was_not_told_is_told_by_what_was_before_the_next_one() -> None:
    first = event(UPDATED, NOW, subscription(items=items(item(price(100)))), {"status": "trialing"}, id="evt_1")
    # From 100 to 200 there is no event.
    second = event(
        UPDATED,
        NOW + 60,
        subscription(items=items(item(price(300)))),
        {"items": items(item(price(200)))},
        id="evt_2",
    )
    rows = [since.row() for _, since in states_of_changes(in_order(changes_of(second, first)))]
    assert [(r[5], r[-1][11:]) for r in rows] == [
        ("1", "11:59:59.999Z"),
        ("1", "12:00:00.000Z"),
        ("2", "12:00:59.999Z"),
        ("3", "12:01:00.000Z"),
    ]


def test_a_price_before_an_event_whose_discount_is_unknown_is_not_told() -> None:
    (change,) = changes_of(event(UPDATED, NOW, subscription(), {"discounts": ["di_gone"]}))
    assert change.before is None
    assert len(list(states_of_changes([change]))) == 1


@pytest.mark.parametrize("lacking", [{"id": None}, {"created": None}, {"created": 0}, {"data": None}])
def test_an_event_that_lacks_its_id_moment_or_object_says_nothing(lacking: dict[str, Any]) -> None:
    assert change_of(event(UPDATED, NOW, subscription()) | lacking, SETTINGS) is None


# --- The settings ---


def written(tmp_path: Path, **changes: Any) -> Path:
    content = yaml.safe_load(SETTINGS_PATH.read_text(encoding="utf-8")) | changes
    (tmp_path / "stripe.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not ...}))
    return tmp_path / "stripe.yaml"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"coupon": "all"}, "coupon: is not a known key: use one of coupons, mode"),
        ({"coupons": "some"}, "coupons: must be 'forever' or 'all'"),
        ({"user_id": ...}, "user_id: is missing"),
        ({"plans": {"price_1": "Platinum"}}, "plans: the dictionary has no 'Platinum': use one of Enterprise, Other"),
        ({"statuses": {"active": "alive"}}, "statuses: the dictionary has no 'alive'"),
    ],
)
def test_a_mistake_in_the_settings_is_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UserError) as raised:
        load_settings(path)
    assert str(raised.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(raised.value)


def test_settings_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stripe.yaml cannot be read \(No such file"):
        load_settings(tmp_path / "stripe.yaml")
    (tmp_path / "stripe.yaml").write_text("mode: live\n plans: [\n")
    with pytest.raises(UserError, match=r"stripe.yaml is not YAML at line 2 .*: correct that line"):
        load_settings(tmp_path / "stripe.yaml")


def test_the_shipped_settings_fit_the_dictionary() -> None:
    assert load_settings().mode == "live"
