"""How many are active, how often, and whether they came, stayed, returned or left."""

from __future__ import annotations

from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.parts import Chart, Content, Note, Table, count, percent
from growth.ui.reader import Reader, Row

PATH = "active-users"
TITLE = "Active users"
TABLES = ("fct_active_users", "fct_engagement_cohorts")
FILTERS = ("period",)


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    days = reader.rows("active_days", filters.bound)
    months = reader.rows("active_months", filters.bound)
    content = Content()
    if days:
        content.add(_by_day(reader, days))
        content.add(_lifecycle(reader, days))
        content.add(_stickiness(reader, days))
    if months:
        content.add(_by_calendar_month(months))
    if not content.parts:
        content.add(Note("There is no day of activity in this period: choose another."))
    return content


def _by_day(reader: Reader, days: list[Row]) -> Chart:
    active = reader.words.active
    names = {
        "daily": "daily_active_users",
        f"{active.week_days} days": "weekly_active_users",
        f"{active.month_days} days": "monthly_active_users",
    }
    return Chart(
        "daily",
        "Active users by day",
        f"How many users were active on each day, in the {active.week_days} days up to it, and in the"
        f" {active.month_days} days up to it.",
        figures.days([row["activity_date"] for row in days], {n: [r[c] for r in days] for n, c in names.items()}),
        Table(["day", *names], [[row["activity_date"], *(count(row[c]) for c in names.values())] for row in days]),
    )


def _lifecycle(reader: Reader, days: list[Row]) -> Chart:
    """The last day of each month stands for it: from day to day the same people are counted again."""
    last = {row["activity_date"][:7]: row for row in days}
    length = reader.words.active.month_days
    active = {"retained": "retained_users", "returned": "resurrected_users", "new": "new_users"}
    return Chart(
        "lifecycle",
        "Who came, stayed, returned, left",
        f"The active users of the {length} days up to the last day of each month: who was active in the {length} days"
        " before as well, who was not, who is new. Below the line: who was active before, and not any more.",
        figures.came_and_left(
            list(last),
            {name: [row[column] for row in last.values()] for name, column in active.items()},
            {"left": [row["dormant_users"] for row in last.values()]},
        ),
        Table(
            ["day", *active, "left"],
            [
                [row["activity_date"], *(count(row[c]) for c in active.values()), count(row["dormant_users"])]
                for row in last.values()
            ],
        ),
        is_wide=False,
    )


def _stickiness(reader: Reader, days: list[Row]) -> Chart:
    length = reader.words.active.month_days
    return Chart(
        "stickiness",
        "Stickiness",
        f"On what share of the {length} days up to each day a user of theirs was active: the mean of the daily active"
        f" users, by the users of the {length} days.",
        figures.days([r["activity_date"] for r in days], {"stickiness": [r["stickiness"] for r in days]}, share=True),
        Table(["day", "stickiness"], [[row["activity_date"], percent(row["stickiness"])] for row in days]),
        is_wide=False,
    )


def _by_calendar_month(months: list[Row]) -> Chart:
    labels = [row["activity_month"][:7] for row in months]
    young = [not row["is_complete"] for row in months]
    # Cohorts have nobody in common: who is in another one than the month's has signed up before.
    new = [row["new_users"] for row in months]
    before = [row["active_users"] - row["new_users"] for row in months]
    return Chart(
        "monthly",
        "Active users by calendar month",
        "Users who were active in a calendar month: those who signed up in it, and those who had before."
        + (" Pale, striped bars can still grow." if young[-1] else ""),
        figures.bars(labels, {"signed up before": before, "signed up in it": new}, young, stacked=True),
        Table(
            ["month", "active users", "signed up before", "signed up in it"],
            [
                [label + ("*" if y else ""), count(row["active_users"]), count(b), count(n)]
                for label, y, row, b, n in zip(labels, young, months, before, new, strict=True)
            ],
        ),
    )
