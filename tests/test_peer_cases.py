"""Numbers that other systems publish for the same events: the cases of the shared folder, told in our definitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from worlds import Batches, Warehouse, changed_definitions

from growth.language.sql import Sql

pytestmark = pytest.mark.every_engine(others="prove")

Case = dict[str, Any]
Event = dict[str, str]
Make = Callable[..., Warehouse]

# A case, or the part of it that follows the colon, that our definitions have no words for.
NOT_EXPRESSED = {
    "F07": "A step of ours cannot be excluded by an event that happens before it.",
    "F08a": "A step of ours cannot be excluded by an event that happens before it, and only the first signup counts.",
    "F09": "Between two steps of ours any other event may happen.",
    "F16: US/Pacific": "Months of ours are those of UTC, whatever the zone that a reader lives in.",
    "R06: 24h_windows": "Retention of ours is counted by calendar months, not by hours since somebody's first event.",
    "M03": "No table of ours holds the revenue of an earlier month, which a rate of lost revenue is a share of.",
}

FUNNELS = ("F01", "F03", "F05", "F11", "F12a", "F14", "F16")
RETENTIONS = ("R01", "R02", "R06")
OTHERS = ("S01",)

STEPS = ("signup", "second", "third")


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> dict[str, Case]:
    content = json.loads((shared_data / "cases" / "peer_cases.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in content}


def test_every_case_is_run_or_listed(cases: dict[str, Case]) -> None:
    whole = {name for name in NOT_EXPRESSED if ":" not in name}
    assert set(cases) == {*FUNNELS, *RETENTIONS, *OTHERS} | whole


def test_what_is_listed_in_part_is_a_part_of_a_case_that_is_run(cases: dict[str, Case]) -> None:
    for name in (name for name in NOT_EXPRESSED if ":" in name):
        case, part = name.split(": ")
        assert case in {*FUNNELS, *RETENTIONS}
        assert part in cases[case]["expected"]


@pytest.mark.parametrize("reason", NOT_EXPRESSED.values())
def test_a_reason_is_one_sentence(reason: str) -> None:
    assert reason[0].isupper()
    assert reason.endswith(".")
    assert reason.count(".") == 1


# --- Funnels ---


@pytest.mark.parametrize("name", FUNNELS)
def test_funnel(name: str, cases: dict[str, Case], warehouse: Make) -> None:
    case = cases[name]
    steps, expected = STEPS[: len(case["params"]["steps"])], case["expected"]
    filled = run_all(warehouse, case_as_we_tell_it(case), funnel_of(case))
    columns = ", ".join(f"people_{step}" for step in steps)
    months = filled.query(f"select cohort_month, {columns} from fct_acquisition_funnel where people_signup > 0")

    if name == "F16":
        # Of each month the case gives the people of the first step and of the last.
        assert {month[:7]: [counts[0], counts[-1]] for month, *counts in months} == expected["UTC"]
        return
    ((_, *counts),) = months
    if name in ("F11", "F12a", "F14"):
        assert counts == expected["counts"]
        seconds = conversion_times(filled, steps)
        assert [mean(times) for times in seconds] == expected["avg_s"]
        assert [median(times) for times in seconds] == expected["median_s"]
    else:
        assert counts == expected


def funnel_of(case: Case) -> Sql:
    """Our statements for a funnel of the case's steps, all of them within its window of the first."""
    any_event = sorted({event["event_type"] for event in case["raw_events"]})
    steps: list[dict[str, Any]] = []
    for step, what in zip(STEPS, case["params"]["steps"], strict=False):
        steps.append({"name": step, "sentence": "", "people": f"people_{step}", "noun": step})
        steps[-1]["any_of"] = any_event if what == "*" else [what]
        if step != STEPS[0]:
            steps[-1] |= {"within_days": int(case["params"]["window"][:-1]), "of": STEPS[0]}
    return sql_with(funnel={"sentence": "", "cohort_by": "signup", "steps": steps})


def case_as_we_tell_it(case: Case) -> list[Event]:
    """The case's events, and where its window is in seconds, all times multiplied by the seconds of a day.

    Windows of ours are days. Told so much slower, who was in time is in time and who was late is late.
    """
    unit = case["params"]["window"][-1]
    assert unit in "ds"
    if unit == "d":
        return case["raw_events"]
    moments = [datetime.fromisoformat(event["event_timestamp"]) for event in case["raw_events"]]
    return [
        event | {"event_timestamp": (min(moments) + (moment - min(moments)) * 86_400).isoformat()}
        for event, moment in zip(case["raw_events"], moments, strict=True)
    ]


def conversion_times(filled: Warehouse, steps: tuple[str, ...]) -> list[list[float]]:
    """For each step but the first, the seconds that it took those who reached it from the step before."""
    people = filled.query(f"select {', '.join(f'{step}_at' for step in steps)} from int_funnel_steps")
    moments = [[datetime.fromisoformat(at) if at else None for at in person] for person in people]
    return [
        [(person[n] - person[n - 1]).total_seconds() for person in moments if person[n]] for n in range(1, len(steps))
    ]


# --- Retention ---


@pytest.mark.parametrize("name", RETENTIONS)
def test_retention(name: str, cases: dict[str, Case], warehouse: Make) -> None:
    """In the cases whoever is active in a period belongs to its cohort, in ours whoever signs up in it.

    So everybody is written down once for each period in which they are active, as somebody who signs up in it.
    """
    case = cases[name]
    is_by_day = name != "R02"
    rows = [case["expected"]["calendar_days"]] if name == "R06" else case["expected"]
    months = [f"2020-{number:02}-01" for number in range(1, len(rows[0]) + 1)]
    events = [
        event | {"event_timestamp": as_month(event["event_timestamp"])} if is_by_day else event
        for event in case["raw_events"]
    ]
    people = sorted({(event["user_id"], event["event_timestamp"][:7] + "-01") for event in events})
    filled = run_all(
        warehouse,
        [e | {"user_id": f"{user} of {month}"} for user, month in people for e in events if e["user_id"] == user],
        sql_with(),
        [{"user_id": f"{user} of {month}", "signup_date": month} for user, month in people],
        date.fromisoformat(months[-1]),
    )

    cells = "select active_users from fct_engagement_cohorts where cohort_month = ? order by activity_month"
    found = [[active for (active,) in filled.query(cells, month)] for month in months[: len(rows)]]
    # A period in which nobody was active has zeros in the cases, and no cohort here.
    assert found == [row if any(row) else [] for row in rows]


def as_month(timestamp: str) -> str:
    """The nth day since 10 June 2020 as a day of the nth month of that year: the months of ours are told from days."""
    number = (datetime.fromisoformat(timestamp).date() - date(2020, 6, 10)).days
    return f"2020-{number + 1:02}-10T12:00:00Z"


# --- Active days ---


def test_users_by_their_active_days(cases: dict[str, Case], warehouse: Make) -> None:
    case = cases["S01"]
    first, last = date.fromisoformat(case["params"]["from"]), date.fromisoformat(case["params"]["to"])
    days = (last - first).days + 1
    shipped = changed_definitions().model_dump()
    sql = sql_with(
        health=shipped["health"] | {"window_days": days, "active_days": {"points": 40, "target": days}},
        upsell_ready=shipped["upsell_ready"] | {"weeks": 1, "active_days": days},
    )
    users = [
        {"user_id": user, "signup_date": first.isoformat()}
        for user in sorted({e["user_id"] for e in case["raw_events"]})
    ]
    filled = run_all(warehouse, case["raw_events"], sql, users, last)

    counted = dict(filled.query(f"select active_days_{days}d, count(*) from dim_user_health group by 1"))
    assert [counted.get(number, 0) for number in range(1, days + 1)] == case["expected"]


# --- A world of a case ---


def sql_with(**words: Any) -> Sql:
    """Our statements for a product with one more event, `active`, which is the meaningful one."""
    return Sql(
        changed_definitions(
            events={"sentence": "", "types": [*changed_definitions().events.types, "active"]},
            active=changed_definitions().active.model_dump() | {"meaningful_events": ["active", "feature_used"]},
            **words,
        )
    )


def run_all(
    warehouse: Make, events: list[Event], sql: Sql, users: list[dict[str, Any]] | None = None, as_of: date | None = None
) -> Warehouse:
    """A warehouse that all events have reached in one batch, on the last of their days."""
    last = max(datetime.fromisoformat(event["event_timestamp"]).date() for event in events)
    day = max(last, as_of or last)
    numbered = [{"event_id": f"{number:04}", **event} for number, event in enumerate(events)]
    filled = warehouse(Batches({day: {"raw_events": numbered, "raw_users": users or []}}), sql)
    filled.run(day)
    return filled
