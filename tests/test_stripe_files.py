"""Exports of Stripe in a folder: which batch an object belongs to, what a later list says, and what lands of it."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from stripe_server import Account, at, event, item, items, price, subscription
from worlds import Batches, Warehouse

from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.sources import open_source
from growth.sources.contract import Source
from growth.sources.stripe import exports
from growth.sources.stripe.events import CREATED, DELETED, UPDATED
from growth.sources.stripe.exports import StripeExports
from growth.sources.stripe.settings import load_settings

JAN = date(2025, 1, 31)
FEB = date(2025, 2, 28)
SETTINGS = load_settings()


class WithUsers(Source):
    """A source and, on its first day, a user for everybody whom it names: subscriptions alone show nothing."""

    def __init__(self, source: Any, users: list[str], signup: date) -> None:
        self.name, self.first_day, self.last_day = source.name, source.first_day, source.last_day
        self._source = source
        rows = [{"user_id": u, "signup_date": signup.isoformat(), "email": f"{u}@example.com"} for u in users]
        self._users = Batches({self.first_day: {"raw_users": rows}})

    def pieces(self, first: date, last: date) -> Iterator[Any]:
        for piece in self._users.pieces(first, last):
            yield {"raw_users": piece["raw_users"]}
        yield from self._source.pieces(first, last)


def put(folder: Path, name: str, *objects: Any) -> Path:
    """A file with these objects, in the format that its name says."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ".json" not in Path(name.removesuffix(".gz")).suffixes
    text = "\n".join(map(json.dumps, objects)) + "\n" if lines else json.dumps(objects[0] if objects else [])
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def page(*subscriptions: Any, has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "url": "/v1/subscriptions", "has_more": has_more, "data": list(subscriptions)}


def read(folder: Path, first: date | None = None, last: date | None = None, **changes: Any) -> dict[str, pd.DataFrame]:
    """All batches of some days, or all, table by table."""
    source = StripeExports(folder, SETTINGS.model_copy(update=changes))
    pieces = list(source.pieces(first or source.first_day, last or source.last_day))
    tables = {table for piece in pieces for table in piece}
    return {t: pd.concat([piece[t] for piece in pieces if t in piece], ignore_index=True) for t in tables}


def states_of(folder: Path, name: str = "sub_1", **changes: Any) -> list[tuple[str, str, str, str]]:
    """Of a subscription: the batch, the status, the price and the moment of each row, as staging sorts them."""
    rows = read(folder, **changes)["raw_subscriptions"]
    rows = rows[rows["subscription_id"] == name].sort_values(["changed_at", *ARRIVAL_COLUMNS])
    return list(rows[["batch_date", "status", "mrr", "changed_at"]].itertuples(index=False, name=None))


def counted(folder: Path, **changes: Any) -> dict[str, int]:
    frame = read(folder, **changes)["unmapped_events"]
    return frame.groupby("event_name")["rows_seen"].sum().to_dict()


# --- Batches ---


def test_the_batch_of_a_list_is_the_day_in_its_name_and_of_an_event_the_day_it_was_created(tmp_path: Path) -> None:
    put(tmp_path, "subscriptions-2025-01-31.json", page(subscription("sub_1")))
    put(tmp_path, "events.jsonl", event(CREATED, at("2025-02-03", "23:59:59"), subscription("sub_2")))
    put(tmp_path, "deep/20250204.jsonl.gz", subscription("sub_3"))
    rows = read(tmp_path)["raw_subscriptions"]
    assert list(rows["batch_date"]) == ["2025-01-31", "2025-02-03", "2025-02-04"]
    assert list(rows["source_file"]) == ["subscriptions-2025-01-31.json", "events.jsonl", "deep/20250204.jsonl.gz"]
    source = StripeExports(tmp_path)
    assert (source.name, source.first_day, source.last_day) == ("stripe", JAN, date(2025, 2, 4))


def test_rows_are_text_in_the_columns_of_the_contract_and_named_once(tmp_path: Path) -> None:
    account = busy_account()
    put(tmp_path, "events.jsonl", *account.events, *account.events)
    put(tmp_path, f"subscriptions-{JAN}.json", page(*account.subscriptions.values()))
    for table, frame in read(tmp_path).items():
        if table == "unmapped_events":
            continue
        assert list(frame.columns) == [*ARRIVAL_COLUMNS, *RAW_COLUMNS[table]]
        assert frame["source_row"].dtype == "int64"
        assert not frame.duplicated(list(ARRIVAL_COLUMNS)).any()
        texts = frame.drop(columns="source_row").stack().dropna()
        assert all(isinstance(value, str) for value in texts)


def test_a_batch_does_not_depend_on_the_days_that_are_read_with_it(tmp_path: Path) -> None:
    account = busy_account()
    put(tmp_path, "events.jsonl", *account.events)
    put(tmp_path, f"subscriptions-{JAN}.json", page(*account.subscriptions.values()))
    whole = read(tmp_path)
    source = StripeExports(tmp_path)
    for table in ("raw_subscriptions", "raw_links"):
        singly = []
        for n in range((source.last_day - source.first_day).days, -1, -1):
            day = source.first_day + timedelta(days=n)
            singly += [piece[table] for piece in StripeExports(tmp_path).pieces(day, day)]
        again = pd.concat(singly).sort_values(list(ARRIVAL_COLUMNS), ignore_index=True)
        pd.testing.assert_frame_equal(again, whole[table].sort_values(list(ARRIVAL_COLUMNS), ignore_index=True))


def test_events_shuffled_repeated_and_spread_over_files_say_the_same(tmp_path: Path) -> None:
    account = busy_account()
    put(tmp_path / "a", "events.jsonl", *account.events)
    mixed = [*account.events, *account.events[::3]]
    random.Random(1).shuffle(mixed)
    put(tmp_path / "b", "1.jsonl", *mixed[:20])
    put(tmp_path / "b", "2.json", mixed[20:50])
    put(tmp_path / "b", "3.jsonl.gz", *mixed[50:])
    assert len(account.events) > 50

    def states(folder: Path) -> list[Any]:
        frame = read(folder)["raw_subscriptions"].drop(columns=["source_file", "source_row"])
        return sorted(frame.itertuples(index=False, name=None), key=str)

    assert states(tmp_path / "a") == states(tmp_path / "b")


# --- What lists and events say ---


def test_a_first_list_tells_what_its_dates_tell(tmp_path: Path) -> None:
    over = subscription(status="canceled", ended_at=at("2025-01-20"))
    put(tmp_path, f"subscriptions-{JAN}.json", page(over))
    assert states_of(tmp_path) == [
        ("2025-01-31", "active", "50", "2025-01-01T12:00:00.000Z"),
        ("2025-01-31", "cancelled", "50", "2025-01-20T12:00:00.000Z"),
    ]


def test_a_later_list_tells_what_differs_dated_by_its_day_or_better(tmp_path: Path) -> None:
    trial = {"trial_start": at("2025-01-01"), "trial_end": at("2025-02-10")}
    dearer = items(item(price(9900)))
    before = [subscription(f"sub_{n}") for n in (1, 2, 3)] + [subscription("sub_4", status="trialing", **trial)]
    in_january = items(item(current_period_start=at("2025-01-15")))
    before.append(subscription("sub_6", items=in_january))
    after = [
        subscription("sub_1"),
        subscription("sub_2", items=dearer),
        subscription("sub_3", status="canceled", ended_at=at("2025-02-20")),
        subscription("sub_4", **trial),
        subscription("sub_5", since=at("2025-02-05")),
        # Its period began before the first list, which says that it was paid then.
        subscription("sub_6", items=in_january, status="unpaid"),
    ]
    put(tmp_path, f"subscriptions-{JAN}.json", page(*before))
    put(tmp_path, f"subscriptions-{FEB}.json", page(*after))
    assert len(states_of(tmp_path, "sub_1")) == 1
    assert states_of(tmp_path, "sub_2")[1:] == [("2025-02-28", "active", "99", "2025-02-28T00:00:00.000Z")]
    assert states_of(tmp_path, "sub_3")[1:] == [("2025-02-28", "cancelled", "50", "2025-02-20T12:00:00.000Z")]
    assert states_of(tmp_path, "sub_4") == [
        ("2025-01-31", "trial", "50", "2025-01-01T12:00:00.000Z"),
        ("2025-02-28", "active", "50", "2025-02-10T12:00:00.000Z"),
    ]
    assert states_of(tmp_path, "sub_6")[1:] == [("2025-02-28", "unpaid", "50", "2025-02-28T00:00:00.000Z")]
    assert states_of(tmp_path, "sub_5") == [("2025-02-28", "active", "50", "2025-02-05T12:00:00.000Z")]


def test_a_list_after_events_says_again_what_holds(tmp_path: Path) -> None:
    dearer = subscription(items=items(item(price(9900))))
    put(tmp_path, f"subscriptions-{JAN}.json", page(subscription()))
    put(tmp_path, "events.jsonl", event(UPDATED, at("2025-02-10"), dearer, {"items": subscription()["items"]}))
    # It went back to the old price without an event.
    put(tmp_path, f"subscriptions-{FEB}.json", page(subscription()))
    assert [(status, mrr, moment[:10]) for _, status, mrr, moment in states_of(tmp_path)] == [
        ("active", "50", "2025-01-01"),
        ("active", "50", "2025-02-10"),
        ("active", "99", "2025-02-10"),
        ("active", "50", "2025-02-28"),
    ]


def test_no_state_of_a_list_begins_after_its_day(tmp_path: Path) -> None:
    ahead = subscription(trial_start=at("2025-01-01"), trial_end=at("2026-01-01"))
    put(tmp_path, f"subscriptions-{JAN}.json", page(ahead))
    assert [(status, moment) for _, status, _, moment in states_of(tmp_path)] == [
        ("trial", "2025-01-01T12:00:00.000Z"),
        ("active", "2025-01-31T23:59:59.999Z"),
    ]


def test_a_list_in_several_files_is_one_and_what_its_pages_repeat_is_told_once(tmp_path: Path) -> None:
    put(tmp_path, f"subscriptions-{JAN}-1.json", page(subscription("sub_1"), subscription("sub_2"), has_more=True))
    put(tmp_path, f"subscriptions-{JAN}-2.json", page(subscription("sub_2"), subscription("sub_3")))
    assert list(read(tmp_path)["raw_subscriptions"]["subscription_id"]) == ["sub_1", "sub_2", "sub_3"]


def test_a_subscription_that_a_later_list_lacks_is_reported_and_not_ended(tmp_path: Path) -> None:
    over = subscription("sub_2", status="canceled", ended_at=at("2025-01-20"))
    put(tmp_path, f"subscriptions-{JAN}.json", page(subscription(), over, subscription("sub_3")))
    put(tmp_path, f"subscriptions-{FEB}.json", page(subscription("sub_3")))
    assert counted(tmp_path) == {"subscription missing from a later list: export with status=all": 1}
    assert len(states_of(tmp_path)) == 1


def test_the_first_event_of_a_subscription_tells_what_was_before_it(tmp_path: Path) -> None:
    dearer, dearest = (subscription(items=items(item(price(p)))) for p in (9900, 19_900))
    put(
        tmp_path,
        "events.jsonl",
        event(UPDATED, at("2025-02-20"), dearest, {"items": dearer["items"]}),
        event(UPDATED, at("2025-02-10"), dearer, {"items": subscription()["items"]}),
    )
    assert [(mrr, moment) for _, _, mrr, moment in states_of(tmp_path)] == [
        ("50", "2025-01-01T12:00:00.000Z"),
        ("50", "2025-02-10T11:59:59.999Z"),
        ("99", "2025-02-10T12:00:00.000Z"),
        ("99", "2025-02-20T11:59:59.999Z"),
        ("199", "2025-02-20T12:00:00.000Z"),
    ]


def test_what_becomes_no_row_is_counted_by_its_name(tmp_path: Path) -> None:
    metered = price(100, recurring={"interval": "month", "usage_type": "metered"})
    test_mode = subscription("sub_4", livemode=False)
    put(
        tmp_path,
        f"{JAN}.jsonl",
        subscription("sub_1", items=items(item(metered), item())),
        subscription("sub_2", discounts=["di_7"]),
        test_mode,
        event("customer.subscription.trial_will_end", at(JAN), subscription("sub_5")),
        event("invoice.paid", at(JAN), {"id": "in_1"}),
        event("invoice.paid", at(JAN), {"id": "in_1"}),
        event(CREATED, at(JAN), test_mode),
    )
    assert counted(tmp_path) == {
        "price price_100_month is metered: counts nothing": 1,
        "discount di_7 is not expanded: counts nothing": 1,
        "livemode is not true": 2,
        "customer.subscription.trial_will_end": 1,
        "invoice.paid": 1,
    }
    assert set(read(tmp_path)["raw_subscriptions"]["subscription_id"]) == {"sub_1", "sub_2"}
    assert set(read(tmp_path, mode="test")["raw_subscriptions"]["subscription_id"]) == {"sub_4"}


def test_customers_that_name_their_user_become_links_once_a_batch(tmp_path: Path) -> None:
    customer = {"id": "cus_9", "object": "customer", "created": at("2024-05-01"), "metadata": {"user_id": "u-9"}}
    put(
        tmp_path,
        f"{JAN}.json",
        page(subscription("sub_1", customer=customer), subscription("sub_2", customer=customer)),
    )
    links = read(tmp_path)["raw_links"]
    assert list(links[["user_id", "other_user_id"]].itertuples(index=False, name=None)) == [("u-9", "cus_9")]
    assert set(read(tmp_path)["raw_subscriptions"]["user_id"]) == {"u-9"}


# --- Files that are not as they should be ---


def sentence_of(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as raised:
        action()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_lines_that_cannot_be_read_land_without_ids_and_cost_no_good_line(tmp_path: Path) -> None:
    path = put(tmp_path, "events.jsonl", event(CREATED, at("2025-02-03"), subscription()))
    path.write_text('{"object": "event", "id": \n' + path.read_text() + "[1, 2\n7\n")
    rows = read(tmp_path)["raw_subscriptions"]
    assert list(rows["subscription_id"].fillna("")) == ["", "sub_1", "", ""]
    assert list(rows["source_row"]) == [10, 21, 30, 40]
    assert set(rows["batch_date"]) == {"2025-02-03"}


def test_an_event_without_its_moment_lands_in_the_last_batch_of_its_file(tmp_path: Path) -> None:
    good = event(CREATED, at("2025-02-03"), subscription())
    put(tmp_path, "events.jsonl", good | {"id": "evt_2", "created": None}, good, good | {"id": None})
    rows = read(tmp_path)["raw_subscriptions"]
    assert list(rows["subscription_id"].fillna("")) == ["", "sub_1", ""]


def test_a_list_whose_name_has_no_day_is_one_sentence(tmp_path: Path) -> None:
    path = put(tmp_path, "subscriptions-2025-13-01.json", page(subscription()))
    assert sentence_of(lambda: read(tmp_path)) == (
        f"{path} has subscriptions as they were on some day, and its name does not say on which:"
        " name it like subscriptions-2025-01-31.json."
    )


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    assert "There is no folder" in sentence_of(lambda: read(tmp_path / "none"))
    assert "has subscriptions or events of Stripe" in sentence_of(lambda: read(tmp_path))
    (tmp_path / "x.csv").write_text("not looked at")
    assert "has subscriptions or events of Stripe" in sentence_of(lambda: read(tmp_path))

    def with_file(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        try:
            return sentence_of(lambda: read(tmp_path))
        finally:
            (tmp_path / name).unlink()

    whole = gzip.compress(b"\n".join(json.dumps(subscription(f"s{n}")).encode() for n in range(99)))
    assert "cannot be read whole, deliver it again" in with_file(f"{JAN}.jsonl.gz", whole[: len(whole) // 2])
    assert "cannot be read whole, deliver it again" in with_file(f"{JAN}.jsonl.gz", b"not packed at all")
    assert "is not UTF-8" in with_file(f"{JAN}.jsonl", b'{"a": "\xff"}\n')
    assert "is not JSON" in with_file(f"{JAN}.json", b'{"object": "list", "data": [')
    assert "No object of" in with_file(f"{JAN}.jsonl", b"this\nis\nno JSON\n")
    assert "DATA=<folder>" in sentence_of(lambda: open_source({"SAAS_GROWTH_SOURCE": "stripe"}))


def test_a_file_that_unpacks_without_end_is_one_sentence(tmp_path: Path) -> None:
    bomb = gzip.compress(b" " * (17 << 20))
    (tmp_path / f"{JAN}.jsonl.gz").write_bytes(bomb)
    assert "becomes more than 200 times larger when it is unpacked" in sentence_of(lambda: read(tmp_path))


def test_a_file_that_changes_while_it_is_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, f"{JAN}.jsonl", subscription("sub_1"), subscription("sub_2"))

    def parse_and_write(text: str) -> Any:
        with path.open("a") as file:
            file.write(json.dumps(subscription("sub_3")) + "\n")
        monkeypatch.setattr(exports, "parse", parse)
        return parse(text)

    parse = exports.parse
    monkeypatch.setattr(exports, "parse", parse_and_write)
    assert "changed while it was read: wait until it is complete" in sentence_of(lambda: read(tmp_path))


def test_exports_in_an_object_store_are_read_like_those_in_a_folder(tmp_path: Path) -> None:
    put(tmp_path, f"deep/{JAN}.jsonl.gz", subscription("sub_1"))
    put(tmp_path, "events.json", [event(CREATED, at("2025-02-03"), subscription("sub_2"))])
    source = StripeExports(f"file://{tmp_path}", SETTINGS)
    pieces = list(source.pieces(source.first_day, source.last_day))
    assert [list(piece["raw_subscriptions"]["subscription_id"]) for piece in pieces] == [["sub_1"], ["sub_2"]]
    assert sentence_of(lambda: StripeExports("file:///none/such", SETTINGS).first_day)


def test_json_lines_under_the_name_of_json_are_read(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(subscription(f"sub_{n}")) for n in range(3))
    (tmp_path / f"{JAN}.json").write_text(lines)
    assert len(read(tmp_path)["raw_subscriptions"]) == 3


# --- The samples ---


def sample_folder(shared_data: Path, folder: Path) -> Path:
    pages = json.loads((shared_data / "data/sources/stripe/subscriptions_pages.json").read_text(encoding="utf-8"))
    put(folder, f"subscriptions-{JAN}.json", pages)
    return folder


def test_the_sample_lands_with_the_published_sums(
    shared_data: Path, tmp_path: Path, warehouse: Callable[..., Warehouse]
) -> None:
    source = StripeExports(sample_folder(shared_data, tmp_path / "exports"))
    users = sorted({u for p in source.pieces(JAN, JAN) for u in p["raw_subscriptions"]["user_id"]})
    there = warehouse(WithUsers(source, users, date(2025, 1, 1)))
    there.run(JAN)
    assert there.query("select count(*) from rejects") == [(0,)]
    # 28 in the list, one of them of the test mode.
    assert there.query("select count(*) from stg_subscriptions") == [(27,)]
    paying = "status in ('active', 'past_due')"
    decided = "subscription_id not in ('sub_week', 'sub_collpause')"
    sums = there.query(
        f"select currency, sum(mrr) from stg_subscriptions where {paying} and {decided} group by currency order by 1"
    )
    assert sums == [("JPY", 3000.0), ("USD", 1071.0)]
    assert there.query("select event_name, rows_seen from unmapped_events order by 1") == [
        ("livemode is not true", 1),
        ("price tier is metered: counts nothing", 1),
    ]
    assert there.differences_from_rebuild() == []


def busy_account(seed: int = 7, names: int = 12) -> Account:
    """Subscriptions that come, change and go over two months; several events share a second."""
    luck = random.Random(seed)
    account = Account()
    moment = at("2025-01-01")
    for number in range(names):
        moment += luck.randrange(0, 90_000)
        trial = {"status": "trialing", "trial_start": moment, "trial_end": moment + 14 * 86_400}
        account.create(subscription(f"sub_{number}", since=moment, **(trial if number % 3 == 0 else {})))
    for _ in range(names * 5):
        moment += luck.choice([0, 0, 1, 3600, 86_400])
        name = f"sub_{luck.randrange(names)}"
        if account.subscriptions[name]["status"] == "canceled":
            continue
        match luck.randrange(12):
            case 0:
                account.cancel(name, moment)
            case 1 | 2:
                account.change(name, moment, status=luck.choice(["active", "past_due", "unpaid", "trialing"]))
            case 3:
                account.change(name, moment, metadata={"seen": str(moment)})
            case _:
                account.change(name, moment, items=items(item(price(luck.randrange(1, 99) * 100))))
    return account


def test_cut_into_days_and_landed_in_any_order_and_twice_it_gives_the_same(
    tmp_path: Path, warehouse: Callable[..., Warehouse]
) -> None:
    account = busy_account()
    put(tmp_path / "exports", "events.jsonl", *account.events)
    users = [s["customer"] for s in account.subscriptions.values()]

    def source() -> WithUsers:
        return WithUsers(StripeExports(tmp_path / "exports"), users, date(2025, 1, 1))

    first, last = source().first_day, source().last_day
    at_once, day_by_day = warehouse(source()), warehouse(source())
    at_once.run(first, last)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    random.Random(3).shuffle(days)
    for day in [*days, *days[:5]]:
        day_by_day.run(day)
    assert day_by_day.differences_from(at_once) == []
    assert day_by_day.differences_from_rebuild() == []
    # The latest state of each is what the account has now.
    now = {
        name: (s["status"], s["items"]["data"][0]["price"]["unit_amount"] / 100)
        for name, s in account.subscriptions.items()
    }
    words = {"trialing": "trial", "canceled": "cancelled"}
    landed = latest_states(day_by_day)
    assert landed == {name: (words.get(status, status), mrr) for name, (status, mrr) in now.items()}
    assert {status for status, _ in landed.values()} >= {"active", "unpaid", "cancelled"}


def latest_states(there: Warehouse) -> dict[str, tuple[str, float]]:
    """Of each subscription the raw row that holds last: by its moment, then by its arrival."""
    rows = there.query(
        "select subscription_id, status, cast(mrr as real) from raw_subscriptions"
        " order by julianday(changed_at), batch_date, source_file, source_row"
    )
    return {name: (status, mrr) for name, status, mrr in rows}


def test_a_deleted_event_ends_a_subscription_that_was_paid_or_a_trial_by_its_dates(tmp_path: Path) -> None:
    gone = subscription(status="canceled", canceled_at=at("2025-01-20"), ended_at=at("2025-02-01"))
    in_trial = gone | {"id": "sub_2", "trial_start": at("2025-01-01"), "trial_end": at("2025-02-02")}
    put(tmp_path, "events.jsonl", *(event(DELETED, at("2025-02-01"), each) for each in (gone, in_trial)))
    rows = read(tmp_path)["raw_subscriptions"]
    assert list(rows[["subscription_id", "status", "end_date"]].fillna("").itertuples(index=False, name=None)) == [
        ("sub_1", "active", ""),
        ("sub_1", "cancelled", "2025-02-01"),
        ("sub_2", "trial", ""),
        ("sub_2", "cancelled", "2025-02-01"),
    ]
