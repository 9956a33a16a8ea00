"""Stripe's API against a local server that replays the public fixtures: lists, days of events, faults, kills."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from stripe_server import KEY, Account, Server, at, coupon, discount, item, items, price, serving, subscription
from test_stripe_files import WithUsers, latest_states, sentence_of
from worlds import Batches, Warehouse

from growth import sources
from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.sources import open_source
from growth.sources.stripe.api import StripeApi
from growth.sources.stripe.client import Client, base_of, client_of_connection
from growth.sources.stripe.objects import parse
from growth.sources.stripe.settings import load_settings
from growth.sources.stripe.subscriptions import state_of

SETTINGS = load_settings()
DAY = date(2025, 3, 10)
YESTERDAY = DAY - timedelta(days=1)


class World:
    """An account, its server, the folder in which what it said is kept, and a clock."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.account, self.server, self.folder = server.account, server, folder
        self.slept: list[float] = []
        self.today = DAY

    @property
    def today(self) -> date:
        return self._today

    @today.setter
    def today(self, day: date) -> None:
        self._today = day
        self.server.now = at(day, "00:20:00")

    def client(self, **options: Any) -> Client:
        return Client(options.pop("key", KEY), self.server.base, sleep=self.slept.append, **options)

    def source(self, **changes: Any) -> StripeApi:
        settings = SETTINGS.model_copy(update=changes)
        now = lambda: datetime.fromtimestamp(self.server.now, UTC)  # noqa: E731
        return StripeApi(self.folder, self.client, settings, now)

    def read(self, first: date, last: date | None = None, **changes: Any) -> dict[str, pd.DataFrame]:
        pieces = list(self.source(**changes).pieces(first, last or first))
        empty = {
            t: pd.DataFrame(columns=[*ARRIVAL_COLUMNS, *RAW_COLUMNS[t]]) for t in ("raw_subscriptions", "raw_links")
        }
        return {t: pd.concat([p[t] for p in pieces]) if pieces else empty[t] for t in empty}

    def rows(self, first: date, last: date | None = None, **changes: Any) -> list[tuple[Any, ...]]:
        frame = self.read(first, last, **changes)["raw_subscriptions"]
        wanted = ["batch_date", "subscription_id", "status", "mrr", "changed_at"]
        return sorted(frame[wanted].itertuples(index=False, name=None), key=lambda r: (r[1], r[4]))

    def asked(self, path: str) -> int:
        return sum(p == path for p, _ in self.server.requests)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(Account()) as server:
        yield World(server, tmp_path / "kept")


def dearer(amount: int) -> dict[str, Any]:
    return items(item(price(amount)))


# --- The first pull ---


def test_the_first_pull_is_a_full_list_with_the_canceled_ones_in_the_batch_of_the_last_whole_day(world: World) -> None:
    for number in range(230):
        world.account.create(subscription(f"sub_{number:03}", since=at("2024-06-01") + number))
    world.account.cancel("sub_007", at("2024-12-24"))
    rows = world.rows(YESTERDAY)
    assert len({row[1] for row in rows}) == 230
    assert {row[0] for row in rows} == {"2025-03-09"}
    assert [row[2:] for row in rows if row[1] == "sub_007"] == [
        ("active", "50", "2024-06-01T12:00:07.000Z"),
        ("cancelled", "50", "2024-12-24T12:00:00.000Z"),
    ]
    first = world.server.requests[0]
    assert first[0] == "/v1/subscriptions"
    assert first[1] | {"status": "all", "limit": "100"} == first[1]
    assert [q.get("starting_after") for p, q in world.server.requests if p == "/v1/subscriptions"] == [
        None,
        "sub_130",
        "sub_030",
    ]


def test_what_happened_since_the_end_of_the_day_is_taken_back(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.account.create(subscription("sub_2", since=at("2024-06-01")))
    world.account.change("sub_1", at(DAY, "00:00:00"), items=dearer(9900), status="past_due")
    world.account.cancel("sub_2", at(DAY, "00:10:00"))
    world.account.create(subscription("sub_3", since=at(DAY, "00:15:00")))
    # A deleted event has no previous_attributes: what it was before stands in its dates.
    assert world.rows(YESTERDAY) == [
        ("2025-03-09", "sub_1", "active", "50", "2024-06-01T12:00:00.000Z"),
        ("2025-03-09", "sub_2", "active", "50", "2024-06-01T12:00:00.000Z"),
    ]
    world.today = DAY + timedelta(days=1)
    assert world.rows(DAY) == [
        # The state before a change is reported with it.
        ("2025-03-10", "sub_1", "active", "50", "2025-03-09T23:59:59.999Z"),
        ("2025-03-10", "sub_1", "past_due", "99", "2025-03-10T00:00:00.000Z"),
        ("2025-03-10", "sub_2", "cancelled", "50", "2025-03-10T00:10:00.000Z"),
        ("2025-03-10", "sub_3", "active", "50", "2025-03-10T00:15:00.000Z"),
    ]


def test_an_end_that_is_taken_back_leaves_what_the_event_before_it_said(world: World) -> None:
    for number in (1, 2):
        world.account.create(subscription(f"sub_{number}", since=at("2024-06-01")))
    world.account.change("sub_1", at("2025-03-05"), status="unpaid")
    in_trial = {"trial_start": at("2025-03-01"), "trial_end": at("2025-04-01"), "status": "trialing"}
    world.account.create(subscription("sub_3", since=at("2025-03-01"), **in_trial))
    for number in (1, 2, 3):
        world.account.cancel(f"sub_{number}", at(DAY, "00:10:00"))
    assert [row[1:3] for row in world.rows(YESTERDAY)] == [
        ("sub_1", "active"),
        ("sub_1", "active"),
        ("sub_1", "unpaid"),
        ("sub_2", "active"),
        ("sub_3", "trial"),
    ]


def test_the_first_pull_dates_the_past_by_the_events_that_there_still_are(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.account.change("sub_1", at("2025-02-15"), items=dearer(9900))
    world.account.change("sub_1", at("2025-03-01"), items=dearer(19_900))
    assert [(row[3], row[4]) for row in world.rows(YESTERDAY)] == [
        ("50", "2024-06-01T12:00:00.000Z"),
        ("50", "2025-02-15T11:59:59.999Z"),
        ("99", "2025-02-15T12:00:00.000Z"),
        ("199", "2025-03-01T12:00:00.000Z"),
    ]


def test_a_change_without_an_event_is_told_at_the_end_of_the_day(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.account.change("sub_1", at("2025-03-01"), items=dearer(9900))
    world.account.subscriptions["sub_1"]["items"] = dearer(7700)
    assert [(row[3], row[4]) for row in world.rows(YESTERDAY)][-2:] == [
        ("99", "2025-03-01T12:00:00.000Z"),
        ("77", "2025-03-09T23:59:59.999Z"),
    ]


def test_before_the_first_list_nothing_has_arrived(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2025-02-20")))
    assert world.source().first_day == YESTERDAY
    assert world.rows(YESTERDAY - timedelta(days=20), YESTERDAY - timedelta(days=1)) == []
    assert world.server.requests == []
    world.rows(YESTERDAY)
    world.today = DAY + timedelta(days=5)
    assert world.source().first_day == YESTERDAY
    assert world.rows(date(2024, 1, 1), YESTERDAY - timedelta(days=1)) == []


def test_a_subscription_made_while_the_list_is_read_is_neither_lost_nor_twice(world: World) -> None:
    for number in range(150):
        world.account.create(subscription(f"sub_{number:03}", since=at("2024-06-01") + number))

    def meanwhile(page: int) -> None:
        if page == 2:
            world.account.create(subscription("sub_new", since=at(DAY, "00:20:00")))
            world.account.change("sub_149", at(DAY, "00:20:00"), items=dearer(9900))
            world.account.change("sub_000", at(DAY, "00:20:00"), items=dearer(9900))

    world.server.before_page = meanwhile
    rows = world.rows(YESTERDAY)
    assert len(rows) == len({row[1] for row in rows}) == 150
    assert {row[3] for row in rows} == {"50"}
    world.today = DAY + timedelta(days=1)
    states = [row[1:4] for row in world.rows(DAY) if row[4].endswith("00:20:00.000Z")]
    assert states == [("sub_000", "active", "99"), ("sub_149", "active", "99"), ("sub_new", "active", "50")]


# --- Days of events ---


def test_a_day_is_what_its_events_say_and_the_list_is_not_pulled_again(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    world.account.change("sub_1", at(DAY, "23:59:59"), items=dearer(9900))
    world.account.change("sub_1", at(DAY + timedelta(days=1), "00:00:00"), items=dearer(19_900))
    world.today = DAY + timedelta(days=2)
    assert [row[3] for row in world.rows(DAY)] == ["50", "99"]
    assert [row[3] for row in world.rows(DAY + timedelta(days=1))] == ["99", "199"]
    assert world.asked("/v1/subscriptions") == 1


def test_a_day_landed_again_is_the_same_whatever_happened_since_and_asks_nothing(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    first = world.rows(YESTERDAY)
    world.account.change("sub_1", at(DAY), items=dearer(9900))
    world.today = DAY + timedelta(days=1)
    second = world.rows(DAY)
    asked = len(world.server.requests)
    world.account.subscriptions.clear()
    world.account.events.clear()
    for days_later in (2, 40, 400):
        world.today = DAY + timedelta(days=days_later)
        assert world.rows(YESTERDAY) == first
        assert world.rows(DAY) == second
        assert sorted(world.rows(YESTERDAY, DAY), key=str) == sorted([*first, *second], key=str)
    assert len(world.server.requests) == asked


def test_days_read_together_are_the_days_read_one_by_one(world: World, tmp_path: Path) -> None:
    changes = busy_days(world)
    one_by_one = []
    world.folder = tmp_path / "one by one"
    world.today = DAY
    one_by_one += world.rows(YESTERDAY)
    for n in range(12):
        changes(n)
        world.today = DAY + timedelta(days=n + 1)
        one_by_one += world.rows(DAY + timedelta(days=n))
    # The same list as on the first day, then all other days in one go.
    together = tmp_path / "together"
    together.mkdir()
    for path in world.folder.glob(f"*{YESTERDAY}*"):
        (together / path.name).write_bytes(path.read_bytes())
    world.folder = together
    assert sorted(world.rows(YESTERDAY, DAY + timedelta(days=11)), key=str) == sorted(one_by_one, key=str)


def test_events_twice_and_out_of_order_are_told_once_and_in_order(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    for number in range(1, 40):
        world.account.change("sub_1", at(DAY) + number // 3, items=dearer(number * 100))
    world.today = DAY + timedelta(days=1)
    world.server.shuffled = True
    world.server.page_size = 7
    assert [row[3] for row in world.rows(DAY)] == ["50", *map(str, range(1, 40))]


def test_an_event_that_stripe_shows_late_lands_with_the_next_day(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    late = world.account.change("sub_1", at(DAY, "23:59:50"), items=dearer(9900))
    world.account.hidden.add(late["id"])
    world.today = DAY + timedelta(days=1)
    assert world.rows(DAY) == []
    world.account.hidden.clear()
    world.today = DAY + timedelta(days=2)
    assert [(row[0], row[3], row[4]) for row in world.rows(DAY + timedelta(days=1))] == [
        ("2025-03-11", "50", "2025-03-10T23:59:49.999Z"),
        ("2025-03-11", "99", "2025-03-10T23:59:50.000Z"),
    ]
    world.today = DAY + timedelta(days=3)
    assert world.rows(DAY + timedelta(days=2)) == []


def test_a_day_that_is_not_over_is_refused(world: World) -> None:
    assert sentence_of(lambda: world.rows(DAY)) == (
        "The day 2025-03-10 is not over in UTC, so Stripe may report more of it: run 2025-03-09 or wait."
    )
    assert world.server.requests == []


def test_days_that_were_skipped_are_pulled_while_their_events_are_there(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    for n in range(28):
        world.account.change("sub_1", at(DAY + timedelta(days=n)), items=dearer((n + 1) * 100))
    world.today = DAY + timedelta(days=28)
    rows = world.rows(DAY, DAY + timedelta(days=27))
    assert [row[3] for row in rows if row[4].endswith("12:00:00.000Z")] == [str(n + 1) for n in range(28)]
    assert world.asked("/v1/subscriptions") == 1


def test_a_gap_longer_than_stripe_keeps_events_is_an_error_and_a_new_list_goes_on(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.account.create(subscription("sub_2", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    world.account.change("sub_1", at("2025-03-12"), items=dearer(9900))
    world.account.cancel("sub_2", at("2025-03-12"))
    world.today = date(2025, 5, 1)
    assert sentence_of(lambda: world.rows(date(2025, 3, 12))) == (
        "Stripe keeps events for 30 days, and those of 2025-03-12 were never pulled: run from 2025-04-02 on; the run of"
        " 2025-04-30 pulls the full list again."
    )
    assert world.rows(date(2025, 4, 2), date(2025, 4, 30)) == [
        ("2025-04-30", "sub_1", "active", "99", "2025-04-30T23:59:59.999Z"),
        ("2025-04-30", "sub_2", "cancelled", "50", "2025-04-30T23:59:59.999Z"),
    ]
    assert world.asked("/v1/subscriptions") == 2
    # From there on, days again.
    world.account.change("sub_1", at("2025-05-01"), items=dearer(19_900))
    world.today = date(2025, 5, 2)
    assert [row[3] for row in world.rows(date(2025, 5, 1))] == ["99", "199"]
    assert world.asked("/v1/subscriptions") == 2


def test_events_of_a_day_pulled_before_are_not_told_again_by_a_later_list(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    world.account.change("sub_1", at(DAY), items=dearer(9900))
    world.today = DAY + timedelta(days=1)
    world.rows(DAY)
    world.today = DAY + timedelta(days=9)
    # The eight days between were never run.
    assert world.rows(DAY + timedelta(days=8)) == []
    assert world.asked("/v1/subscriptions") == 2


# --- What lies deeper ---


def test_the_user_is_named_by_the_customer_also_in_events(world: World) -> None:
    world.account.customers["cus_1"] = {"id": "cus_1", "object": "customer", "metadata": {"user_id": "u-1"}}
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    first = world.read(YESTERDAY)
    world.account.change("sub_1", at(DAY), items=dearer(9900))
    world.today = DAY + timedelta(days=1)
    second = world.read(DAY)
    for tables in (first, second):
        assert set(tables["raw_subscriptions"]["user_id"]) == {"u-1"}
        assert set(tables["raw_links"]["other_user_id"]) == {"cus_1"}


HALF = coupon("half", percent_off=50.5)


def test_discounts_are_found_in_lists_and_events_before_and_after(world: World) -> None:
    world.account.coupons["half"] = HALF
    world.account.create(subscription("sub_1", since=at("2024-06-01"), discounts=[discount(HALF)]))
    in_item = items(item(discounts=[discount(HALF, "di_2")]))
    world.account.create(subscription("sub_2", since=at("2024-06-01"), items=in_item))
    assert {row[1]: row[3] for row in world.rows(YESTERDAY)} == {"sub_1": "24.75", "sub_2": "24.75"}
    world.account.change("sub_1", at(DAY), items=dearer(10_000))
    gone = world.account.change("sub_2", at(DAY), items=dearer(10_000))
    assert gone["data"]["previous_attributes"]["items"]["data"][0]["discounts"] == ["di_2"]
    world.today = DAY + timedelta(days=1)
    assert [(row[1], row[3]) for row in world.rows(DAY)] == [
        ("sub_1", "24.75"),
        ("sub_1", "49.5"),
        # di_2 is gone without an event, so that no price before the change is reported.
        ("sub_2", "100"),
    ]


def test_a_discount_that_went_is_found_in_its_own_event(world: World) -> None:
    world.account.coupons["half"] = HALF
    world.account.create(subscription("sub_1", since=at("2024-06-01"), discounts=[discount(HALF)]))
    world.rows(YESTERDAY)
    world.account.change("sub_1", at(DAY), discounts=[])
    event = world.account.events[-1] | {"id": "evt_d", "type": "customer.discount.deleted"}
    world.account.events.append(event | {"data": {"object": discount(HALF) | {"source": {"coupon": "half"}}}})
    world.today = DAY + timedelta(days=1)
    assert [(row[3], row[4][11:]) for row in world.rows(DAY)] == [("24.75", "11:59:59.999Z"), ("50", "12:00:00.000Z")]


def test_coupons_for_some_products_and_coupons_that_were_deleted_count(world: World) -> None:
    world.account.coupons["some"] = coupon("some", percent_off=50, applies_to={"products": ["prod_2"]})
    shown = coupon("some", percent_off=50)
    both = items(item(price(5000)), item(price(3000, product="prod_2")))
    world.account.create(subscription("sub_1", since=at("2024-06-01"), discounts=[discount(shown)], items=both))
    deleted = coupon("deleted", percent_off=10)
    world.account.create(subscription("sub_2", since=at("2024-06-01"), discounts=[discount(deleted, "di_2")]))
    assert {row[1]: row[3] for row in world.rows(YESTERDAY)} == {"sub_1": "65", "sub_2": "45"}
    assert world.asked("/v1/coupons/some") == 1


def test_more_items_than_a_page_shows_all_count(world: World) -> None:
    many = items(*(item(price(100 * n), id=f"si_{n}") for n in range(1, 16)))
    world.account.create(subscription("sub_1", since=at("2024-06-01"), items=many))
    assert [row[3] for row in world.rows(YESTERDAY)] == ["120"]


def test_the_public_fixtures_and_sample_pages_come_through_the_api_with_the_published_sums(
    world: World, shared_data: Path
) -> None:
    folder = shared_data / "data" / "sources" / "stripe"
    for page in json.loads((folder / "subscriptions_pages.json").read_text(encoding="utf-8")):
        for each in page["data"]:
            world.account.subscriptions[each["id"]] = each
    fixture = json.loads((folder / "openapi_fixtures.json").read_text(encoding="utf-8"))
    world.account.subscriptions["fixture"] = fixture["subscription"] | {"livemode": True}
    world.server.page_size = 20
    frame = world.read(YESTERDAY)["raw_subscriptions"]
    # The last row of each is what holds; the filler is of another mode, and brings nothing.
    latest = frame.groupby("subscription_id").last()
    assert len(latest) == 28
    paying = latest[latest["status"].isin(["active", "past_due"])].drop(["sub_week"])
    sums = paying["mrr"].astype(float).groupby(paying["currency"]).sum().to_dict()
    assert sums == {"JPY": 3000.0, "USD": 1071.0}
    assert latest.loc["sub_collpause", "status"] == "paused"


def test_the_recorded_event_comes_through_the_api(world: World, shared_data: Path) -> None:
    path = shared_data / "data" / "sources" / "stripe" / "event_subscription_updated.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))
    world.today = date(2023, 3, 29)
    assert world.rows(date(2023, 3, 28), mode="test") == []
    world.account.events.append(recorded)
    world.account.subscriptions["x"] = recorded["data"]["object"]
    world.today = date(2023, 3, 30)
    assert [row[2:] for row in world.rows(date(2023, 3, 29), mode="test")] == [
        ("trial", "42.42", "2023-03-29T04:27:07.999Z"),
        ("active", "42.42", "2023-03-29T04:27:08.000Z"),
    ]
    assert world.rows(date(2023, 3, 29)) == []


# --- Faults ---

FAULTS = ["429", "500", "503", "reset", "cut", "cut chunks", "html", "cut json"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_changes_nothing(world: World, fault: str) -> None:
    for number in range(250):
        world.account.create(subscription(f"sub_{number:03}", since=at("2024-06-01") + number))
    world.account.change("sub_003", at("2025-03-01"), items=dearer(9900))
    world.server.faults = [fault, "ok", fault, fault, "ok", fault, "ok", fault]
    rows = world.rows(YESTERDAY)
    assert len({row[1] for row in rows}) == 250
    assert len(world.slept) == 5
    assert world.server.faults == []


def test_a_wait_that_stripe_asks_for_is_kept_and_others_grow(world: World) -> None:
    world.server.faults = ["429", "500", "500", "500", "429", "ok"]
    world.client().get("/v1/subscriptions")
    assert world.slept == [3.0, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("429", "answered 429"),
        ("500", "answered 500"),
        ("reset", "broke off its answers"),
        ("cut", "broke off its answers"),
        ("html", "broke off its answers"),
    ],
)
def test_a_fault_that_stays_is_one_sentence_and_keeps_nothing_half(world: World, fault: str, said: str) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.server.faults = ["ok", *[fault] * 7]
    sentence = sentence_of(lambda: world.rows(YESTERDAY))
    assert sentence == f"Stripe {said} at /v1/events 7 times: run again later, what was pulled is kept."
    assert list(world.folder.glob("*")) == []
    assert len(world.rows(YESTERDAY)) == 1


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("401", "Stripe does not know the key of the connection stripe"),
        ("403", "The key of the connection stripe may not read /v1/subscriptions"),
        ("400", "Stripe refuses /v1/subscriptions (status 400: no)"),
    ],
)
def test_what_no_other_try_would_change_is_one_sentence_at_once(world: World, fault: str, sentence: str) -> None:
    world.server.faults = [fault]
    said = sentence_of(lambda: world.rows(YESTERDAY))
    assert said.startswith(sentence)
    assert "sk_" not in said
    assert len(world.server.requests) == 1
    assert world.slept == []


@pytest.mark.parametrize("trouble", ["loops", "empty_pages"])
def test_a_list_that_never_ends_is_one_sentence(world: World, trouble: str) -> None:
    for number in range(120):
        world.account.create(subscription(f"sub_{number:03}", since=at("2024-06-01") + number))
    setattr(world.server, trouble, True)
    sentence = sentence_of(lambda: world.rows(YESTERDAY))
    assert "says that its list /v1/subscriptions goes on, but gives nothing new after" in sentence
    assert len(world.server.requests) < 6
    assert list(world.folder.glob("*")) == []


def test_another_server_than_stripes_is_one_sentence(world: World) -> None:
    elsewhere = Client(KEY, f"{world.server.base}/elsewhere", sleep=world.slept.append)
    with pytest.raises(UserError, match="is no list of Stripe: correct the host of the connection stripe"):
        list(elsewhere.pages("/v1/subscriptions"))
    world.server.faults = ["other json"]
    with pytest.raises(UserError, match="is no list of Stripe: correct the host of the connection stripe"):
        list(world.client().pages("/v1/subscriptions"))
    nobody = Client(KEY, "http://127.0.0.1:9", sleep=world.slept.append)
    with pytest.raises(UserError, match="broke off its answers at /v1/events 7 times"):
        list(nobody.pages("/v1/events"))


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("what", ["the first pull", "days of events"])
def test_a_pull_that_is_killed_at_any_request_or_file_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    happens = busy_days(world, names=6)
    begun = tmp_path / "begun"
    begun.mkdir()
    first = last = YESTERDAY
    if what == "days of events":
        world.folder = begun
        world.rows(YESTERDAY)
        for n in range(3):
            happens(n)
        world.today = DAY + timedelta(days=3)
        first, last = DAY, DAY + timedelta(days=2)
    calls = 0

    def counting(function: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls -= 1
            if calls == 0:
                raise Killed
            return function(*arguments, **more)

        return counted

    def begin(name: str) -> None:
        world.folder = shutil.copytree(begun, tmp_path / name)

    begin("whole")
    whole = world.rows(first, last)
    assert len(whole) > 5
    for owner, name in ((Client, "get"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, counting(getattr(owner, name)))
            calls = 0
            begin(f"all of {name}")
            assert world.rows(first, last) == whole
            needed = -calls
            assert needed >= (2 if what == "the first pull" else 3)
            for number in range(1, needed + 1):
                begin(f"{name} {number}")
                calls = number
                with pytest.raises(Killed):
                    world.rows(first, last)
                assert world.rows(first, last) == whole


def test_a_folder_that_cannot_be_written_is_one_sentence(world: World) -> None:
    world.folder.write_text("a file is in its place")
    assert "cannot be kept in" in sentence_of(lambda: world.rows(YESTERDAY))


def test_a_kept_file_that_is_damaged_is_one_sentence(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    path = world.folder / f"subscriptions-{YESTERDAY}.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "cannot be read whole" in sentence_of(lambda: world.rows(YESTERDAY))


# --- What is kept ---


def kept_text(world: World) -> str:
    return "".join(gzip.decompress(path.read_bytes()).decode() for path in sorted(world.folder.iterdir()))


def test_no_names_addresses_or_other_metadata_are_kept_and_only_the_owner_may_read(world: World) -> None:
    customer = {"id": "cus_1", "object": "customer", "email": "a@example.com", "name": "Ada", "phone": "+1555"}
    metadata = {"user_id": "u-1", "note": "secret"}
    world.account.customers["cus_1"] = customer | {"metadata": metadata, "address": {"line1": "Street 1"}}
    world.account.create(subscription("sub_1", since=at("2024-06-01"), metadata=metadata, description="to Ada"))
    world.account.change("sub_1", at("2025-03-01"), metadata=metadata | {"note": "other"})
    world.rows(YESTERDAY)
    text = kept_text(world)
    assert "u-1" in text
    for private in ("example.com", "Ada", "+1555", "secret", "other", "Street"):
        assert private not in text
    assert all(path.stat().st_mode & 0o077 == 0 for path in world.folder.iterdir())


def test_what_is_kept_says_the_same_as_what_was_told(world: World) -> None:
    world.account.coupons["half"] = HALF
    world.account.create(subscription("sub_1", since=at("2024-06-01"), discounts=[discount(HALF)]))
    world.rows(YESTERDAY)
    path = world.folder / f"subscriptions-{YESTERDAY}.jsonl.gz"
    kept = parse(gzip.decompress(path.read_bytes()).splitlines()[0])
    whole = world.account.subscriptions["sub_1"]
    assert state_of(kept, at(DAY), SETTINGS) == state_of(whole, at(DAY), SETTINGS)


def test_a_person_is_forgotten_in_all_that_is_kept(world: World) -> None:
    world.account.customers["cus_1"] = {"id": "cus_1", "object": "customer", "metadata": {"user_id": "u-1"}}
    for name in ("sub_1", "sub_2"):
        world.account.create(subscription(name, since=at("2024-06-01")))
        world.account.change(name, at("2025-03-01"), items=dearer(100))
    before = world.rows(YESTERDAY)
    for name in ("sub_1", "sub_2"):
        world.account.change(name, at(DAY), items=dearer(9900))
    world.today = DAY + timedelta(days=1)
    before += world.rows(DAY)
    assert world.source().archives[0].forget({"u-1"}) == 2 + 1
    assert "u-1" not in kept_text(world)
    assert "cus_1" not in kept_text(world)
    asked = len(world.server.requests)
    after = world.rows(YESTERDAY, DAY)
    assert sorted(after, key=str) == sorted((row for row in before if row[1] == "sub_2"), key=str)
    assert len(world.server.requests) == asked
    assert world.source().archives[0].forget({"nobody"}) == 0


def test_an_erasure_reaches_the_archive_and_is_refused_without_it(
    world: World, warehouse: Callable[..., Warehouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from growth import operators

    world.account.customers["cus_1"] = {"id": "cus_1", "object": "customer", "metadata": {"user_id": "u-1"}}
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    there = warehouse(WithUsers(world.source(), ["u-1"], YESTERDAY))
    there.run(YESTERDAY)
    assert "u-1" in kept_text(world)
    monkeypatch.setattr(operators, "place", lambda: there.place)
    monkeypatch.setattr(operators, "sql", lambda: there.sql)
    monkeypatch.setattr(operators, "acquire_lease", lambda *_: None)
    context = {
        "params": {"users": "u-1", "asked_by": "a test", "reason": "to see"},
        "dag": SimpleNamespace(dag_id="saas_growth_erase"),
        "run_id": "erasure",
    }
    monkeypatch.setattr(sources, "open_source", Batches)
    with pytest.raises(AirflowFailException, match="name it, with SOURCE=stripe_api"):
        operators.erase_people(**context)
    assert there.query("select count(*) from raw_users where user_id = 'u-1'") == [(1,)]

    monkeypatch.setattr(sources, "open_source", world.source)
    operators.erase_people(**context)
    assert "u-1" not in kept_text(world)
    assert there.query("select count(*) from raw_users where user_id = 'u-1'") == [(0,)]


def test_a_preview_pulls_and_leaves_the_archive_as_it_is(world: World) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    world.rows(YESTERDAY)
    world.account.create(subscription("sub_2", since=at("2024-07-01")))
    before = kept_text(world)
    (sample,) = world.source().sample(100, YESTERDAY)
    assert {name for piece in sample.pieces for name in piece["raw_subscriptions"]["subscription_id"]} == {
        "sub_1",
        "sub_2",
    }
    assert kept_text(world) == before


# --- Whole roads ---


def busy_days(world: World, names: int = 10, seed: int = 5) -> Callable[[int], None]:
    """Subscriptions of last year, with some changes before the first pull; gives what happens on the n-th day."""
    luck = random.Random(seed)
    account = world.account
    for number in range(names):
        account.create(subscription(f"sub_{number}", since=at("2024-06-01") + number * 86_400))
    account.events.clear()

    def happens(n: int) -> None:
        moment = at(DAY + timedelta(days=n), "00:30:00")
        for step in range(luck.randrange(1, 6)):
            moment += luck.choice([0, 1, 9000])
            name = f"sub_{luck.randrange(names)}"
            match luck.randrange(8) if account.subscriptions[name]["status"] != "canceled" else 8:
                case 0:
                    account.cancel(name, moment)
                case 1 | 2:
                    account.change(name, moment, status=luck.choice(["active", "past_due", "unpaid"]))
                case 8:
                    new = f"sub_{n}_{step}"
                    account.create(subscription(new, since=moment))
                case _:
                    account.change(name, moment, items=dearer(luck.randrange(1, 99) * 100))

    for n in range(-9, 0):
        happens(n)
    return happens


def now_of(account: Account) -> dict[str, tuple[str, float]]:
    words = {"trialing": "trial", "canceled": "cancelled"}
    return {
        name: (words.get(s["status"], s["status"]), s["items"]["data"][0]["price"]["unit_amount"] / 100)
        for name, s in account.subscriptions.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_daily_runs_with_skips_repeats_and_faults_end_where_the_account_is(
    world: World, warehouse: Callable[..., Warehouse], seed: int
) -> None:
    changes = busy_days(world, seed=seed)
    luck = random.Random(seed)
    users = [s["customer"] for s in world.account.subscriptions.values()]
    there = warehouse(WithUsers(world.source(), users, DAY))

    def run(first: date, last: date) -> None:
        for _ in range(20):
            try:
                there.run(first, last)
            except UserError:  # Stripe did not answer: the next run goes on
                continue
            return
        pytest.fail("it never ends")

    waiting: list[date] = [YESTERDAY]
    for n in range(14):
        world.today = DAY + timedelta(days=n)
        if n == 0 or luck.random() < 0.7:
            world.server.faults = [luck.choice([*FAULTS, "ok", "ok", "ok"]) for _ in range(25)]
            world.server.shuffled = luck.random() < 0.5
            run(waiting[0], waiting[-1])
            if luck.random() < 0.3:
                run(YESTERDAY, luck.choice([YESTERDAY, waiting[0]]))
            waiting = []
        waiting.append(DAY + timedelta(days=n))
        changes(n)
    world.today = DAY + timedelta(days=14)
    run(waiting[0], waiting[-1])
    assert latest_states(there) == now_of(world.account)
    assert there.differences_from_rebuild() == []
    assert there.query("select count(*) from rejects") == [(0,)]
    # All batches again, from what is kept, into another warehouse.
    again = warehouse(there.source)
    again.run(YESTERDAY, DAY + timedelta(days=13))
    assert again.differences_from(there) == []
    assert len(list(world.folder.glob("subscriptions-*"))) == 1


def test_a_worker_whose_archive_is_empty_lands_no_new_beginning(
    world: World, warehouse: Callable[..., Warehouse]
) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    there = warehouse(world.source())
    there.run(YESTERDAY)
    before = there.query("select * from raw_subscriptions")
    assert before
    for kept in world.folder.iterdir():
        kept.unlink()
    with pytest.raises(UserError, match="archive on this worker is empty: name the folder that all workers share"):
        there.run(DAY)
    assert there.query("select * from raw_subscriptions") == before
    assert not list(world.folder.glob("subscriptions-*"))


# --- The connection and the library ---


def test_the_key_and_another_base_come_from_the_airflow_connection(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.account.create(subscription("sub_1", since=at("2024-06-01")))
    connection = {"conn_type": "http", "password": KEY, "host": world.server.base}
    monkeypatch.setenv("AIRFLOW_CONN_STRIPE", json.dumps(connection))
    assert len(list(client_of_connection().pages("/v1/subscriptions"))) == 1
    host, _, port = world.server.base.removeprefix("http://").partition(":")
    parts = {"conn_type": "http", "password": KEY, "host": host, "port": int(port), "schema": "http"}
    monkeypatch.setenv("AIRFLOW_CONN_STRIPE", json.dumps(parts))
    source = open_source(
        {
            "SAAS_GROWTH_SOURCE": "stripe_api",
            "SAAS_GROWTH_SOURCE_PATH": "/files/of/others",
            "SAAS_GROWTH_STRIPE_FOLDER": str(tmp_path / "kept"),
        }
    )
    day = datetime.now(UTC).date() - timedelta(days=1)
    world.server.now = at(day + timedelta(days=1))
    frames = list(source.pieces(day, day))
    assert list(frames[0]["raw_subscriptions"]["subscription_id"]) == ["sub_1"]


def test_a_connection_that_is_missing_or_has_no_key_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for connection in (None, json.dumps({"conn_type": "http", "host": "https://api.stripe.com"})):
        if connection:
            monkeypatch.setenv("AIRFLOW_CONN_STRIPE", connection)
        else:
            monkeypatch.delenv("AIRFLOW_CONN_STRIPE", raising=False)
        assert sentence_of(client_of_connection).startswith(
            "There is no key for Stripe: make an Airflow connection stripe with the key as its password"
        )


@pytest.mark.parametrize(
    ("parts", "base"),
    [
        ((None, None, None), None),
        (("", "https", None), None),
        (("proxy.example", None, None), "https://proxy.example"),
        (("proxy.example", "http", 8080), "http://proxy.example:8080"),
        (("http://proxy.example/", None, None), "http://proxy.example"),
    ],
)
def test_a_host_of_the_connection_is_another_base(parts: tuple[Any, ...], base: str | None) -> None:
    assert base_of(*parts) == base


def test_a_library_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stripe", None)
    assert sentence_of(lambda: Client(KEY)) == (
        "SOURCE=stripe_api needs Stripe's library, which is not installed:"
        " pip install -r requirements-stripe.txt -c constraints.txt."
    )


def test_opening_the_source_asks_nobody_and_imports_no_library(tmp_path: Path) -> None:
    import subprocess

    script = (
        "import sys; from growth.sources import open_source;"
        " s = open_source({'SAAS_GROWTH_SOURCE': 'stripe_api', 'SAAS_GROWTH_STRIPE_FOLDER': sys.argv[1]});"
        " s.name, s.first_day, s.last_day; print([m for m in ('stripe', 'pandas', 'airflow') if m in sys.modules])"
    )
    plugins = str(Path(__file__).parents[1] / "plugins")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env={"PYTHONPATH": plugins}
    )
    assert done.stdout == "[]\n", done.stderr
