"""The people of the invented company and what they do on each day, as numbers without text.

Everything random about a person is a hash of (seed, purpose, person, day), never the next draw of a shared stream.
So days can be asked for alone and in any order, and what a person does on a day does not depend on earlier questions.
All functions work on whole columns, with one row for each person or event.

Days are integers from 0, the company's first day. NEVER stands for a day that does not come.
"""

from __future__ import annotations

import zlib

import numpy as np

from growth.sources.synthetic.parameters import CHANNELS, PARAMETERS

NEVER = 1_000_000
"""A day after all days that can be asked for."""

PEOPLE_A_DAY = 1_000_000
"""A person's number is first day * PEOPLE_A_DAY + index among that day's people: unique, and in order of arrival."""

Table = dict[str, np.ndarray]
"""Columns of equal length, shape (rows,)."""

# Event types and features. The index in this tuple is the `kind` of a row, and a person has at most one row of a kind
# on a day: (person, day, kind) is the key of an event.
KINDS: tuple[tuple[str, str | None], ...] = (
    *[("visit", None)] * 4,
    ("signup", None),
    ("activated", None),
    ("paid", None),
    ("daily_active", None),
    *[("feature_used", name) for name, _ in PARAMETERS.features],
)
FIRST_VISIT, SECOND_VISIT, THIRD_VISIT, SIGNUP_VISIT, SIGNUP, ACTIVATED, PAID, DAILY_ACTIVE, FIRST_FEATURE = range(9)
VISITS = (FIRST_VISIT, SECOND_VISIT, THIRD_VISIT, SIGNUP_VISIT)

STATUSES = ("active", "trial", "cancelled")
ACTIVE, TRIAL, CANCELLED = range(3)


class Dice:
    """Uniform random numbers that depend on their purpose and not on earlier draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, purpose: str, uid: np.ndarray, day: np.ndarray | int | None = None) -> np.ndarray:
        """Numbers in [0, 1), one for each person, in the shape of uid; without a day for traits of a whole life."""
        key = _mix(np.array([self.seed, zlib.crc32(purpose.encode())], dtype=np.uint64))
        mixed = _mix(uid.astype(np.uint64) ^ _mix(key[:1] + key[1:]))
        if day is not None:
            mixed = _mix(mixed + np.atleast_1d(day).astype(np.uint64) * np.uint64(0xD1342543DE82EF95))
        return (mixed >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    """The splitmix64 step: every bit of the result depends on every bit of x. uint64 of one or more dimensions."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def take(table: Table, rows: np.ndarray) -> Table:
    """The rows that a mask or an index selects, all columns."""
    # Most masks select few of many rows, so that one search and short look-ups are faster.
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    return {name: column[rows] for name, column in table.items()}


def stack(tables: list[Table]) -> Table:
    """Tables of the same columns, one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def visitors(dice: Dice, scale: float, first_weekday: int, first: int, last: int) -> Table:
    """The people who first came on the days first to last: uid, day, second (of the day), channel, campaign."""
    counts = np.array([_visitor_count(dice.seed, scale, first_weekday, day) for day in range(first, last + 1)])
    day = np.repeat(np.arange(first, last + 1), counts)
    uid = day * PEOPLE_A_DAY + np.arange(len(day)) - np.repeat(np.cumsum(counts) - counts, counts)
    channel, campaign = _channel_and_campaign(dice, "first visit", uid)
    second = _daytime(dice("time of first visit", uid))
    return {"uid": uid, "day": _days(day), "second": second, "channel": channel, "campaign": campaign}


def signups(dice: Dice, people: Table) -> Table:
    """The visitors who sign up, each with a whole life decided in advance. One row per user.

    uid, channel, campaign, first_visit_day, then in the order of a life: signup_day, signup_second, activated_day,
    activated_second, trial_day, paid_day, plan, change_day, change_plan, cancel_day, back_day, back_plan,
    back_cancel_day. For activity: power (bool), intensity, quiet_day, return_day, return_end. A day is NEVER if it does
    not come; a user stops coming on quiet_day and again on return_end.
    """
    p = PARAMETERS
    people = take(people, dice("signs up", people["uid"]) < _by_channel("signup_rate")[people["channel"]])
    uid, channel = people["uid"], people["channel"]

    def draw(purpose: str) -> np.ndarray:
        return dice(purpose, uid)

    delay = np.where(draw("same day") < p.same_day_signup, 0, 1 + _skewed(draw("signup delay"), p.signup_delay_max))
    signup_day = _days(people["day"] + delay)
    visit_second = np.where(delay == 0, people["second"], _daytime(draw("time of signup visit")))
    signup_second = (visit_second + 60 + 3540 * draw("time to sign up")).astype(np.int32)

    luck, rate = draw("activates"), _by_channel("activation_rate")[channel]
    in_time = luck < rate
    activated = luck < rate + p.late_activation_rate
    delay = np.where(
        in_time,
        _pick(draw("activation delay"), p.activation_by_day),
        _between(draw("late activation delay"), p.late_activation_days),
    )
    activated_day = _days(np.where(activated, signup_day + delay, NEVER))
    activated_second = np.where(delay == 0, signup_second, _daytime(draw("time of activation"))) + 60
    activated_second = (activated_second + 3000 * draw("time to activate")).astype(np.int32)

    luck, rate = draw("pays"), _by_channel("paid_rate")[channel]
    soon = activated & (luck < rate)
    pays = activated & (luck < rate + p.late_paid_rate)
    via_trial = draw("via trial") < p.via_trial
    step_day = activated_day + 1 + _skewed(draw("payment delay"), p.payment_spread)
    late_day = signup_day + _between(draw("late payment delay"), p.late_paid_days)
    paid_day = np.where(pays, np.where(soon, step_day + np.where(via_trial, p.trial_days, 0), late_day), NEVER)
    trial_only = activated & ~pays & (draw("trial only") < p.trial_only_rate)
    trial_day = np.where(pays & via_trial, paid_day - p.trial_days, np.where(trial_only, step_day, NEVER))

    power = pays & (draw("power") < p.power_share)
    tenure = _by_channel("tenure_days")[channel] * np.where(power, p.power_tenure, 1)
    cancel_day = np.where(pays, paid_day + 10 + _waiting(draw("tenure"), tenure), NEVER)
    plan = _pick(draw("plan"), tuple(share for _, _, share in p.plans))
    change_day = paid_day + 20 + _skewed(draw("plan change delay"), 180)
    changes = (draw("changes plan") < p.plan_change_rate) & (change_day < cancel_day)
    up = (plan == 0) | ((plan == 1) & (draw("upgrades") < p.pro_upgrade_share))
    back = pays & (draw("comes back to pay") < p.win_back_rate)
    back_day = np.where(back, cancel_day + _between(draw("win-back delay"), p.win_back_days), NEVER)
    back_cancel_day = np.where(back, back_day + 10 + _waiting(draw("second tenure"), tenure), NEVER)

    # A payer uses the product until shortly before the cancellation; other users stop at a random day.
    life = np.where(activated, _by_channel("life_days")[channel], p.unactivated_life)
    faded_day = np.where(activated, activated_day, signup_day) + 1 + _waiting(draw("life"), life)
    quiet_day = np.where(pays, np.maximum(cancel_day - 15 * draw("quiet before leaving"), paid_day + 1), faded_day)
    returns = ~pays & (draw("returns") < p.return_rate)
    return_day = np.where(returns, quiet_day + _between(draw("return delay"), p.return_days), back_day)
    return_end = np.where(returns, return_day + 3 + _waiting(draw("second life"), p.return_life), back_cancel_day)
    low, high = p.intensity

    return {
        "uid": uid,
        "channel": channel,
        "campaign": people["campaign"],
        "first_visit_day": people["day"],
        "signup_day": signup_day,
        "signup_second": signup_second,
        "activated_day": activated_day,
        "activated_second": activated_second,
        "trial_day": _days(trial_day),
        "paid_day": _days(paid_day),
        "plan": plan,
        "change_day": _days(np.where(changes, change_day, NEVER)),
        "change_plan": np.where(up, plan + 1, plan - 1).astype(np.int8),
        "cancel_day": _days(cancel_day),
        "back_day": _days(back_day),
        "back_plan": _pick(draw("plan when back"), tuple(share for _, _, share in p.plans)),
        "back_cancel_day": _days(back_cancel_day),
        "power": power,
        "intensity": (low + (high - low) * draw("intensity") ** 2).astype(np.float32),
        "quiet_day": _days(quiet_day),
        "return_day": _days(return_day),
        "return_end": _days(return_end),
    }


def milestones(dice: Dice, people: Table, users: Table) -> Table:
    """The events that happen once in a life: visits, signup, activated, paid. One row per event.

    uid, day, second, kind (index of KINDS), channel and campaign (of a visit; otherwise -1).
    """
    p = PARAMETERS
    second_visit = dice("visits again", people["uid"]) < p.revisit_rate
    third_visit = dice("visits again", people["uid"]) < p.revisit_rate / 3
    later = users["signup_day"] > users["first_visit_day"]
    # A signup on a later day begins with a visit half a minute before.
    signup_visit = _events(users, SIGNUP_VISIT, users["signup_day"], users["signup_second"] - 30)
    rows = [
        _events(people, FIRST_VISIT, people["day"], people["second"]),
        _revisits(dice, take(people, second_visit), SECOND_VISIT),
        _revisits(dice, take(people, third_visit), THIRD_VISIT),
        _elsewhere(dice, take(signup_visit, later), SIGNUP_VISIT),
        _events(users, SIGNUP, users["signup_day"], users["signup_second"]),
        _events(users, ACTIVATED, users["activated_day"], users["activated_second"]),
        _events(users, PAID, users["paid_day"], _daytime(dice("time of payment", users["uid"]))),
    ]
    table = stack(rows)
    return take(table, table["day"] < NEVER)


def subscriptions(users: Table) -> Table:
    """All rows of the subscriptions of these users: one when each begins and one when it is cancelled.

    uid, part (number of the user's subscription), plan (index of PARAMETERS.plans), status (index of STATUSES),
    start_day, end_day (NEVER if it is open), day (on which the row arrives).
    """
    first_end = np.minimum(users["change_day"], users["cancel_day"])
    change_end = np.where(users["change_day"] < NEVER, users["cancel_day"], NEVER)
    trial_end = users["trial_day"] + PARAMETERS.trial_days
    rows = [_subscription_rows(users, 0, TRIAL, users["plan"], users["trial_day"], trial_end, users["trial_day"])]
    for part, plan, start, end in (
        (1, "plan", users["paid_day"], first_end),
        (2, "change_plan", users["change_day"], change_end),
        (3, "back_plan", users["back_day"], users["back_cancel_day"]),
    ):
        rows.append(_subscription_rows(users, part, ACTIVE, users[plan], start, np.full_like(end, NEVER), start))
        rows.append(_subscription_rows(users, part, CANCELLED, users[plan], start, end, end))
    table = stack(rows)
    return take(table, table["day"] < NEVER)


def activity(dice: Dice, users: Table, weekday: int, day: int) -> Table:
    """All use of the product on one day: daily_active and feature_used events, with the columns of milestones().

    The day of the activation is always an active one.
    """
    p = PARAMETERS
    returned = (users["return_day"] <= day) & (day < users["return_end"])
    here = ((users["signup_day"] < day) & (day < users["quiet_day"])) | returned | (users["activated_day"] == day)
    users, returned = take(users, here), returned[here]
    uid = users["uid"]

    paying = (users["paid_day"] <= day) & ((day < users["cancel_day"]) | (users["back_day"] <= day))
    # Use fades before the first quiet day only, not after a return.
    fading = ~returned & (users["quiet_day"] - day <= p.fading_days)
    chance = users["intensity"] * np.where(paying, p.paying_boost, 1) * np.where(fading, p.fading_factor, 1)
    chance = np.where(users["power"], p.power_activity[weekday >= 5], chance * p.activity_by_weekday[weekday])
    activates = users["activated_day"] == day
    active = activates | (dice("active", uid, day) < chance)

    second = np.where(activates, users["activated_second"] + 30, _daytime(dice("time of activity", uid, day)))
    rows = [take(_events(users, DAILY_ACTIVE, day, second), active)]
    users, uid, second = take(users, active), uid[active], second[active]
    breadth = np.where(users["power"], p.power_breadth, 1)
    for place, (feature, popularity) in enumerate(p.features):
        used = dice(f"uses {feature}", uid, day) < popularity * breadth
        events = _events(users, FIRST_FEATURE + place, day, second + 60 + 300 * place)
        rows.append(take(events, used))
    return stack(rows)


def _visitor_count(seed: int, scale: float, first_weekday: int, day: int) -> int:
    p = PARAMETERS
    months = min(day / 30.4375, p.growth_months)
    mean = p.visitors_a_day * (1 + p.monthly_growth) ** months * p.visits_by_weekday[(first_weekday + day) % 7]
    return np.random.Generator(np.random.PCG64([seed, day])).poisson(mean * scale)


def _channel_and_campaign(dice: Dice, purpose: str, uid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channel = _pick(dice(f"channel of {purpose}", uid), tuple(c.share for c in CHANNELS))
    campaigns = np.array([len(c.campaigns) for c in CHANNELS])[channel]
    campaign = np.where(campaigns == 0, -1, _skewed(dice(f"campaign of {purpose}", uid), campaigns))
    return channel, campaign.astype(np.int8)


def _events(people: Table, kind: int, day: np.ndarray | int, second: np.ndarray) -> Table:
    rows = len(people["uid"])
    columns = {
        "uid": people["uid"],
        "day": np.broadcast_to(_days(day), rows),
        "second": second.astype(np.int32),
        "kind": np.full(rows, kind, dtype=np.int8),
    }
    for name in ("channel", "campaign"):
        columns[name] = people[name] if kind in VISITS else np.full(rows, -1, dtype=np.int8)
    return columns


def _revisits(dice: Dice, people: Table, kind: int) -> Table:
    day = people["day"] + 1 + _skewed(dice(f"delay of visit {kind}", people["uid"]), PARAMETERS.revisit_max)
    visits = _events(people, kind, day, _daytime(dice(f"time of visit {kind}", people["uid"])))
    return _elsewhere(dice, visits, kind)


def _elsewhere(dice: Dice, visits: Table, kind: int) -> Table:
    """Repeated visits, some of them through another channel than the first."""
    uid = visits["uid"]
    same = dice(f"same channel, visit {kind}", uid) < PARAMETERS.revisit_same_channel
    channel, campaign = _channel_and_campaign(dice, f"visit {kind}", uid)
    return visits | {
        "channel": np.where(same, visits["channel"], channel),
        "campaign": np.where(same, visits["campaign"], campaign),
    }


def _subscription_rows(
    users: Table, part: int, status: int, plan: np.ndarray, start: np.ndarray, end: np.ndarray, day: np.ndarray
) -> Table:
    rows = len(users["uid"])
    return {
        "uid": users["uid"],
        "part": np.full(rows, part, dtype=np.int8),
        "plan": plan,
        "status": np.full(rows, status, dtype=np.int8),
        "start_day": start,
        "end_day": end,
        "day": day,
    }


def _by_channel(name: str) -> np.ndarray:
    return np.array([getattr(channel, name) for channel in CHANNELS])


def _pick(u: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """The index of one of the shares, which add up to 1."""
    return np.searchsorted(np.cumsum(shares)[:-1], u, side="right").astype(np.int8)


def _skewed(u: np.ndarray, below: np.ndarray | int) -> np.ndarray:
    """Whole numbers from 0 to below - 1; small ones are far more frequent."""
    return np.floor(below * u * u).astype(np.int32)


def _between(u: np.ndarray, days: tuple[int, int]) -> np.ndarray:
    """Days from the first to the last, both included; early ones are more frequent."""
    return days[0] + _skewed(u, days[1] - days[0] + 1)


def _waiting(u: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """Days until something that has the same probability on every day."""
    return np.floor(-np.log1p(-u) * mean).astype(np.int32)


def _daytime(u: np.ndarray) -> np.ndarray:
    """Seconds of the day from 6:00 to 20:00, most frequent in the middle."""
    centred = u - 0.5
    return (6 * 3600 + 14 * 3600 * (0.5 + centred * (0.4 + 2.4 * centred * centred))).astype(np.int32)


def _days(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).astype(np.int32)
