"""The invented company: its batches are reproducible, and what is planted in it is there to be found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from growth.errors import UserError
from growth.language import raw
from growth.language.raw import ARRIVAL_COLUMNS
from growth.sources.synthetic.parameters import CHANNELS, DIRT, NO_DIRT, PARAMETERS
from growth.sources.synthetic.rows import FAULTS, WORLD_START, Synthetic

Frames = dict[str, pd.DataFrame]

# The invented company links no ids.
RAW_COLUMNS = {table: columns for table, columns in raw.RAW_COLUMNS.items() if table != "raw_links"}

LAST = date(2026, 10, 31)
"""The last of the two years that the figures are promised for."""

SETTLED = pd.Timestamp(LAST, tz="UTC") - pd.Timedelta(days=DIRT.late_event_days[1])
"""All events of earlier days have arrived on the last day."""


@pytest.fixture(scope="module")
def two_years() -> Frames:
    """All that arrives in 24 months at scale 1, read month by month."""
    source = Synthetic()
    months = pd.period_range(WORLD_START, LAST, freq="M")
    batches = [source.read(month.start_time.date(), month.end_time.date()) for month in months]
    return {name: pd.concat([batch[name] for batch in batches], ignore_index=True) for name in RAW_COLUMNS}


@pytest.fixture(scope="module")
def clean(two_years: Frames) -> Frames:
    """The same without malformed copies and repetitions; `day` is when it happened, `batch` when it arrived."""
    frames = {name: frame[~_is_broken(name, frame)] for name, frame in two_years.items()}
    frames["raw_events"] = frames["raw_events"].drop_duplicates("event_id")
    dates = {"raw_users": "signup_date", "raw_events": "event_date", "raw_subscriptions": "start_date"}
    return {
        name: frame.assign(day=pd.to_datetime(frame[dates[name]]), batch=pd.to_datetime(frame["batch_date"]))
        for name, frame in frames.items()
    }


@pytest.fixture(scope="module")
def lives(clean: Frames) -> pd.DataFrame:
    """One row a visitor: the time of each first milestone, and the channel of the first visit."""
    events = clean["raw_events"].sort_values(["event_timestamp", "event_id"])
    firsts = events.drop_duplicates(["user_id", "event_type"]).pivot(
        index="user_id", columns="event_type", values="event_timestamp"
    )
    firsts = firsts.apply(lambda column: pd.to_datetime(column.astype(object)))
    visits = events[events["event_type"] == "visit"].drop_duplicates("user_id").set_index("user_id")
    return firsts.assign(channel=visits["utm_source"], campaign=visits["utm_campaign"])


def _is_broken(name: str, frame: pd.DataFrame) -> pd.Series:
    ids = frame[RAW_COLUMNS[name][0]]
    return ids.str.endswith("-x") | (ids == "")


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=offset) for offset in range((last - first).days + 1))


def _assert_same(one: Frames, other: Frames) -> None:
    assert list(one) == list(other) == list(RAW_COLUMNS)
    for name in RAW_COLUMNS:
        pd.testing.assert_frame_equal(one[name].reset_index(drop=True), other[name].reset_index(drop=True))


def _batch(frames: Frames, day: date) -> Frames:
    return {name: frame[frame["batch_date"] == day.isoformat()] for name, frame in frames.items()}


# --- a batch is a function of the source's arguments and its date ---


def test_a_batch_is_the_same_in_a_range_alone_forwards_backwards_and_again():
    first, last = date(2025, 3, 20), date(2025, 4, 10)
    whole, part = Synthetic().read(WORLD_START, last), Synthetic().read(first, last)
    forwards, backwards = Synthetic(), Synthetic()
    one_by_one = {day: forwards.read(day, day) for day in _days(first, last)}
    from_the_end = {day: backwards.read(day, day) for day in reversed(one_by_one)}
    for day, batch in one_by_one.items():
        assert len(batch["raw_events"]) > 50
        for other in (_batch(whole, day), _batch(part, day), from_the_end[day], forwards.read(day, day)):
            _assert_same(batch, other)
    for day in (first, last):
        _assert_same(one_by_one[day], Synthetic().read(day, day))


def test_a_batch_does_not_depend_on_later_days_of_the_range():
    day = date(2025, 2, 14)
    short, long = Synthetic(scale=0.2).read(day, day), Synthetic(scale=0.2).read(day, date(2026, 6, 30))
    _assert_same(short, _batch(long, day))


def test_rows_are_numbered_from_1_in_each_batch_in_the_order_they_are_handed_out():
    frames = Synthetic(scale=0.3).read(date(2025, 5, 1), date(2025, 5, 31))
    for frame in frames.values():
        assert frame["batch_date"].is_monotonic_increasing
        assert (frame["source_row"] == frame.groupby("batch_date").cumcount() + 1).all()
        assert frame["batch_date"].between("2025-05-01", "2025-05-31").all()
        assert frame["batch_date"].nunique() > 10
        assert (frame["source_file"] == "synthetic").all()


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"scale": 0.11}, {"start": date(2024, 11, 8)}, {"dirt": NO_DIRT}],
    ids=lambda o: next(iter(o)),
)
def test_another_argument_is_another_world_with_another_name(other: dict):
    arguments = {"scale": 0.1}
    one, two = Synthetic(**arguments), Synthetic(**(arguments | other))
    assert one.name != two.name
    month = (date(2025, 3, 1), date(2025, 3, 31))
    assert not one.read(*month)["raw_events"].equals(two.read(*month)["raw_events"])


def test_the_name_says_what_is_not_default():
    assert Synthetic().name == "synthetic (seed 1, scale 1)"
    assert Synthetic(seed=3, scale=0.5, start=date(2025, 1, 1), dirt=NO_DIRT).name == (
        "synthetic (seed 3, scale 0.5) from 2025-01-01 without dirt"
    )


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"scale": 0}, {"scale": -1}, {"scale": float("nan")}])
def test_impossible_arguments_are_refused(arguments: dict):
    with pytest.raises(UserError, match="seed from 0"):
        Synthetic(**arguments)


# --- what the contract of a source asks ---


def test_batches_before_the_first_day_are_empty_with_all_columns():
    source = Synthetic(scale=0.2)
    assert source.first_day == WORLD_START
    assert source.last_day is None
    before = source.read(date(2024, 9, 1), WORLD_START - timedelta(days=1))
    for name, columns in RAW_COLUMNS.items():
        assert len(before[name]) == 0
        assert tuple(before[name].columns) == (*ARRIVAL_COLUMNS, *columns)
    across, week = source.read(date(2024, 9, 1), date(2024, 11, 7)), source.read(WORLD_START, date(2024, 11, 7))
    assert len(week["raw_events"]) > 10
    _assert_same(across, week)


def test_all_columns_are_text_or_none_but_the_row_number(two_years: Frames):
    for name, columns in RAW_COLUMNS.items():
        frame = two_years[name]
        assert tuple(frame.columns) == (*ARRIVAL_COLUMNS, *columns)
        assert frame["source_row"].dtype == np.int64
        for column in frame.columns.drop("source_row"):
            assert {type(value) for value in frame[column].unique()} <= {str, type(None)}, (name, column)


# --- the size and shape of the company ---


def test_two_years_at_scale_1_have_the_promised_size(clean: Frames, lives: pd.DataFrame):
    assert 24_000 <= len(lives) <= 26_000
    assert 9_500 <= len(clean["raw_users"]) <= 10_500
    assert 100_000 <= len(clean["raw_events"]) <= 122_000
    assert 1_800 <= clean["raw_subscriptions"]["subscription_id"].nunique() <= 2_200
    days = (lives["activated"].dt.normalize() - lives["signup"].dt.normalize()).dt.days
    assert 0.67 <= (days <= 7).sum() / lives["signup"].notna().sum() <= 0.73
    # Nobody is at the edge of the window; most activate at once, some too late.
    assert not (days == 7).any()
    assert (days <= 2).sum() > 0.75 * (days <= 7).sum()
    assert (days > 7).sum() > 300


def test_ids_are_unique_and_nothing_happens_before_the_first_day(clean: Frames):
    assert clean["raw_users"]["user_id"].is_unique
    assert clean["raw_users"]["email"].is_unique
    assert set(clean["raw_events"]["event_type"]) == {
        "visit", "signup", "activated", "paid", "daily_active", "feature_used"
    }  # fmt: skip
    for frame in clean.values():
        assert frame["day"].min() >= pd.Timestamp(WORLD_START)
        assert (frame["day"] <= frame["batch"]).all()
    assert clean["raw_users"]["first_visit_date"].min() >= WORLD_START.isoformat()
    timestamps = clean["raw_events"]["event_timestamp"]
    assert timestamps.str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()
    assert (timestamps.str[:10] == clean["raw_events"]["event_date"]).all()


def test_visits_grow_and_rest_at_the_weekend(lives: pd.DataFrame):
    by_day = lives.groupby(lives["visit"].dt.normalize()).size()
    weekdays = by_day.groupby(by_day.index.day_of_week).mean() / by_day.mean()
    np.testing.assert_allclose(weekdays, PARAMETERS.visits_by_weekday, rtol=0.06)
    growth = by_day["2025-11-01":].sum() / by_day[:"2025-10-31"].sum()
    assert growth == pytest.approx((1 + PARAMETERS.monthly_growth) ** 12, rel=0.05)


def test_a_life_has_its_order(clean: Frames, lives: pd.DataFrame):
    steps = ["visit", "signup", "activated", "paid"]
    # Of what is more recent, the step before may still be on its way.
    for earlier, later in pairwise(steps):
        reached = lives[lives[later] < SETTLED]
        assert len(reached) > 800
        assert (reached[earlier] < reached[later]).all(), (earlier, later)
    # Whoever signs up visits within the hour before, be it the first visit or another.
    visits = clean["raw_events"].query("event_type == 'visit'")
    before = visits["user_id"].map(lives["signup"]) - pd.to_datetime(visits["event_timestamp"])
    at_once = visits["user_id"][before.between(pd.Timedelta(seconds=1), pd.Timedelta(hours=1))]
    assert lives.index[lives["signup"] < SETTLED].isin(at_once).all()


def test_some_visitors_come_again_part_of_them_through_another_channel(clean: Frames, lives: pd.DataFrame):
    only_visitors = lives.index[lives["signup"].isna() & (lives["visit"] < "2026-08-01")]
    visits = clean["raw_events"].query("event_type == 'visit'").sort_values("event_timestamp")
    visits = visits[visits["user_id"].isin(only_visitors)]
    again = visits[visits.duplicated("user_id")].drop_duplicates("user_id")
    assert len(again) / len(only_visitors) == pytest.approx(PARAMETERS.revisit_rate, rel=0.1)
    same = again["utm_source"] == again["user_id"].map(lives["channel"])
    by_chance = sum(channel.share**2 for channel in CHANNELS)
    kept = PARAMETERS.revisit_same_channel
    assert same.mean() == pytest.approx(kept + (1 - kept) * by_chance, abs=0.04)


def test_use_follows_the_signup_and_features_come_on_active_days(clean: Frames, lives: pd.DataFrame):
    events = clean["raw_events"]
    events = events[events["day"] < SETTLED.tz_localize(None)]
    active, used = (events[events["event_type"] == event_type] for event_type in ("daily_active", "feature_used"))
    for use in (active, used):
        assert len(use) > 10_000
        assert (pd.to_datetime(use["event_timestamp"]) > use["user_id"].map(lives["signup"])).all()
    assert not active.duplicated(["user_id", "event_date"]).any()
    days = set(zip(active["user_id"], active["event_date"], strict=True))
    assert set(zip(used["user_id"], used["event_date"], strict=True)) <= days


def test_a_user_row_tells_the_first_visit_and_the_signup(clean: Frames, lives: pd.DataFrame):
    users = clean["raw_users"].set_index("user_id")
    settled = lives[lives["signup"] < SETTLED].join(users, how="inner")
    assert len(settled) > 8_000
    assert (settled["visit"].dt.strftime("%Y-%m-%d") == settled["first_visit_date"]).all()
    assert (settled["signup"].dt.strftime("%Y-%m-%d") == settled["signup_date"]).all()
    assert (settled["channel"] == settled["utm_source"]).all()
    assert (settled["campaign"].fillna("") == settled["utm_campaign"].fillna("")).all()


# --- what is planted is found ---


@pytest.mark.parametrize(
    ("rate", "below"), [("signup_rate", "channel"), ("activation_rate", "signup"), ("paid_rate", "activated")]
)
def test_the_rates_of_each_channel_are_found_again(lives: pd.DataFrame, rate: str, below: str):
    lives = lives[lives["visit"] < pd.Timestamp(LAST, tz="UTC") - pd.Timedelta(days=125)]
    in_time = (lives["activated"] - lives["signup"]).dt.days < 7
    soon = (lives["paid"] - lives["signup"]).dt.days < 90
    whole = {"channel": lives["channel"].notna(), "signup": lives["signup"].notna(), "activated": in_time}[below]
    reached = {"channel": lives["signup"].notna(), "signup": in_time, "activated": soon}[below]
    found = {}
    for channel in CHANNELS:
        members = reached[whole & (lives["channel"] == channel.name)]
        found[channel.name] = members.mean()
        planted = getattr(channel, rate)
        error = np.sqrt(planted * (1 - planted) / len(members))
        assert found[channel.name] == pytest.approx(planted, abs=3 * error), channel.name
        if rate == "signup_rate":
            others = [abs(planted - other.signup_rate) for other in CHANNELS if other != channel]
            assert min(others) > 4 * error, "the channels can be told apart"
    assert len(found) == 6


def test_campaigns_belong_to_their_channel(clean: Frames):
    visits = clean["raw_events"].query("event_type == 'visit'")
    found = visits.groupby("utm_source")["utm_campaign"].agg(lambda campaigns: set(campaigns.dropna()))
    assert found.to_dict() == {channel.name: set(channel.campaigns) for channel in CHANNELS}
    assert visits["utm_campaign"].isna().equals(visits["utm_source"] == "organic")
    others = clean["raw_events"].drop(visits.index)
    assert others[["utm_source", "utm_campaign"]].isna().all(axis=None)


def test_better_channels_keep_people_longer(clean: Frames, lives: pd.DataFrame):
    # Payers stay anyway, and who never activated never stays: neither should decide.
    lives = lives[lives["activated"].notna() & lives["paid"].isna() & (lives["signup"] < SETTLED)]
    active = clean["raw_events"].query("event_type == 'daily_active'")
    age = (active["day"] - active["user_id"].map(lives["signup"]).dt.tz_localize(None)).dt.days
    stayed = lives.index.isin(active["user_id"][age.between(30, 59)])
    retention = pd.Series(stayed).groupby(lives["channel"].to_numpy()).mean()
    assert retention["referral"] > 1.2 * retention["organic"]
    assert retention["organic"] > 1.5 * retention["facebook"]


def test_people_fade_and_some_come_back_after_months(clean: Frames, lives: pd.DataFrame):
    active = clean["raw_events"].query("event_type == 'daily_active'").sort_values(["user_id", "day"])
    by_weekday = active.groupby(active["day"].dt.day_of_week).size()
    assert by_weekday[[5, 6]].max() < 0.85 * by_weekday[[0, 1, 2, 3, 4]].min()
    last_seen = active.groupby("user_id")["day"].max()
    assert (last_seen < "2026-08-01").mean() > 0.6
    # Of those who never paid: a gap of a month may be chance, one of three months hardly ever is.
    gaps = active.groupby("user_id")["day"].diff().dt.days
    unpaid = active["user_id"].map(lives["paid"]).isna()
    assert active["user_id"][unpaid & (gaps > 90)].nunique() > 60


def test_some_tens_of_people_are_ready_for_an_upsell_on_the_last_day(clean: Frames):
    events = clean["raw_events"]
    recent = events[events["day"] > pd.Timestamp(LAST) - pd.Timedelta(days=28)]
    week = (pd.Timestamp(LAST) - recent["day"]).dt.days // 7
    active = recent[recent["event_type"] == "daily_active"].assign(week=week).groupby("user_id")
    features = recent.groupby("user_id")["feature_name"].nunique()
    ready = (active["day"].nunique() >= 12) & (active["week"].nunique() == 4) & (features >= 4)
    now = clean["raw_subscriptions"].drop_duplicates("subscription_id", keep="last")
    now = now[(now["status"] == "active") & now["plan_name"].isin(["Starter", "Pro"])]
    assert 20 <= (ready & ready.index.isin(now["user_id"])).sum() <= 100
    used = events["feature_name"].value_counts()
    assert set(used.index) == {"dashboard", "reports", "integrations", "api", "mobile_app", "export"}
    assert used["dashboard"] > 2 * used["api"]


# --- subscriptions ---


def test_a_cancelled_subscription_is_the_active_row_again_with_its_end(clean: Frames):
    rows = clean["raw_subscriptions"]
    cancelled = rows[rows["status"] == "cancelled"]
    assert len(cancelled) > 300
    assert (cancelled["end_date"] >= cancelled["start_date"]).all()
    assert (cancelled["end_date"] == cancelled["batch_date"]).all()
    active = rows[rows["status"] == "active"].set_index("subscription_id")
    assert active.index.is_unique
    assert active["end_date"].isna().all()
    assert (active["start_date"] == active["batch_date"]).all()
    before = active.loc[cancelled["subscription_id"]]
    for column in ("user_id", "plan_name", "start_date", "mrr", "currency"):
        assert (before[column].to_numpy() == cancelled[column].to_numpy()).all(), column
    assert (before["batch_date"].to_numpy() < cancelled["batch_date"].to_numpy()).all()
    prices = {plan: price for plan, price, _ in PARAMETERS.plans}
    assert (active["mrr"] == active["plan_name"].map(prices)).all()
    assert set(active["plan_name"]) == set(prices)


def test_a_trial_is_free_and_part_of_them_convert_on_the_day_they_end(clean: Frames):
    rows = clean["raw_subscriptions"]
    trials = rows[rows["status"] == "trial"]
    assert trials["subscription_id"].is_unique
    assert (trials["mrr"] == "0.00").all()
    assert (pd.to_datetime(trials["end_date"]) - trials["day"] == pd.Timedelta(days=14)).all()
    over = trials[trials["end_date"] <= LAST.isoformat()]
    starts = rows[rows["status"] == "active"].drop_duplicates("user_id").set_index("user_id")["start_date"]
    first_paid = over["user_id"].map(starts)
    converted = first_paid == over["end_date"]
    assert 0.3 < converted.mean() < 0.8
    assert first_paid[~converted].isna().all()


def test_a_user_has_one_paid_subscription_at_a_time_and_some_change_or_return(clean: Frames):
    rows = clean["raw_subscriptions"]
    paid = rows[rows["status"] != "trial"].drop_duplicates("subscription_id", keep="last")
    paid = paid.sort_values(["user_id", "start_date"])
    follows = paid["user_id"].eq(paid["user_id"].shift())
    gap = (paid["day"] - pd.to_datetime(paid["end_date"].shift()))[follows]
    # An open subscription would leave a gap that is not known.
    assert (gap >= pd.Timedelta(0)).all()
    changes, returns = gap == pd.Timedelta(0), gap >= pd.Timedelta(days=PARAMETERS.win_back_days[0])
    assert (changes | returns).all()
    assert changes.sum() > 80
    assert returns.sum() > 20
    price, earlier = paid["mrr"].astype(float)[follows], paid["mrr"].astype(float).shift()[follows]
    assert (price[changes] != earlier[changes]).all()
    assert (price[changes] > earlier[changes]).any()
    assert (price[changes] < earlier[changes]).any()


def test_a_paid_event_marks_the_first_paid_subscription_of_each_payer(clean: Frames, lives: pd.DataFrame):
    rows = clean["raw_subscriptions"]
    first = rows[rows["status"] == "active"].groupby("user_id")["start_date"].min()
    settled = first[pd.to_datetime(first, utc=True) < SETTLED]
    assert len(settled) > 700
    assert (lives["paid"].loc[settled.index].dt.strftime("%Y-%m-%d") == settled).all()
    events = clean["raw_events"]
    paid = events[events["event_type"] == "paid"]
    assert paid["user_id"].is_unique
    assert set(paid["user_id"]) <= set(first.index)
    days = (lives["paid"].dt.normalize() - lives["signup"].dt.normalize()).dt.days
    assert (days > 90).sum() > 50


# --- dirt ---


def test_some_events_arrive_up_to_40_days_late(clean: Frames):
    events = clean["raw_events"]
    delay = (events["batch"] - events["day"]).dt.days
    assert delay.min() == 0
    assert delay.max() == 40
    assert (delay > 0).mean() == pytest.approx(DIRT.late_events, rel=0.1)


def test_some_user_rows_arrive_after_the_events_of_their_user(clean: Frames):
    users = clean["raw_users"]
    delay = (users["batch"] - users["day"]).dt.days
    assert delay.min() == 0
    assert delay.max() == 5
    assert (delay > 0).mean() == pytest.approx(DIRT.late_users, rel=0.3)
    signups = clean["raw_events"].query("event_type == 'signup'").set_index("user_id")["batch"]
    assert (users["user_id"].map(signups) < users["batch"]).sum() > 50


def test_some_events_are_sent_twice_with_the_same_content(two_years: Frames):
    events = two_years["raw_events"]
    again = events[events.duplicated("event_id")]
    assert len(again) / len(events) == pytest.approx(DIRT.repeated_events, rel=0.15)
    assert again["event_id"].is_unique
    first = events.drop_duplicates("event_id").set_index("event_id").loc[again["event_id"]]
    columns = list(RAW_COLUMNS["raw_events"][1:])
    pd.testing.assert_frame_equal(first[columns], again.set_index("event_id")[columns])
    gap = pd.to_datetime(again["batch_date"]).to_numpy() - pd.to_datetime(first["batch_date"]).to_numpy()
    assert set(gap.astype("timedelta64[D]").astype(int)) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", RAW_COLUMNS)
def test_a_malformed_row_is_a_copy_with_an_id_of_its_own_and_one_fault(two_years: Frames, name: str):
    frame, key = two_years[name], RAW_COLUMNS[name][0]
    is_broken = _is_broken(name, frame)
    expected = DIRT.malformed * len(frame)
    assert is_broken.sum() == pytest.approx(expected, abs=3 * np.sqrt(expected))
    # A user row may have lost its id, but not its address.
    link = "email" if name == "raw_users" else key
    originals = {(row["batch_date"], row[link]): row for row in frame[~is_broken].to_dict("records")}
    faults = []
    for row in frame[is_broken].to_dict("records"):
        original = originals[row["batch_date"], row[link].removesuffix("-x")]
        assert row[key] in ("", original[key] + "-x")
        changed = {column: row[column] for column in RAW_COLUMNS[name] if row[column] != original[column]}
        if row[key]:
            del changed[key]
        assert changed in FAULTS[name]
        faults.append(FAULTS[name].index(changed))
    assert len(set(faults)) > 2
    if name == "raw_events":
        assert set(faults) == set(range(len(FAULTS[name])))


def test_no_good_row_has_a_fault(clean: Frames):
    for name, faults in FAULTS.items():
        for fault in faults:
            for column, text in fault.items():
                assert not (clean[name][column] == text).any(), (name, column)


def test_without_its_dirt_the_world_is_the_clean_one():
    last = date(2025, 6, 30)
    settled = (last - timedelta(days=DIRT.late_event_days[1])).isoformat()
    dirty = Synthetic(scale=0.2).read(WORLD_START, last)
    neat = Synthetic(scale=0.2, dirt=NO_DIRT).read(WORLD_START, last)
    dates = {"raw_users": "signup_date", "raw_events": "event_date", "raw_subscriptions": "start_date"}
    for name, column in dates.items():
        wanted = neat[name][neat[name][column] <= settled]
        found = dirty[name][~_is_broken(name, dirty[name]) & (dirty[name][column] <= settled)]
        assert len(found) > len(wanted) or name != "raw_events"
        assert len(wanted) > 50
        rows = [frame[list(RAW_COLUMNS[name])].itertuples(index=False, name=None) for frame in (wanted, found)]
        assert set(rows[0]) == set(rows[1])
    assert (neat["raw_events"]["event_date"] == neat["raw_events"]["batch_date"]).all()
    assert neat["raw_events"]["event_id"].is_unique
