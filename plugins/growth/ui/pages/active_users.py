"""How many users are active, how often, and whether they came, stayed, returned or left."""

from __future__ import annotations

from growth.language.queries import Reader, Row
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.parts import Chart, Content, Note, Table, count, percent
from growth.ui.terms import Term, term

PATH = "active-users"
TITLE = "Active users"
TABLES = ("fct_active_users", "fct_engagement_cohorts")
FILTERS = ("period",)


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    days = reader.rows("page/active_days", filters.parameters)
    months = reader.rows("page/active_months", filters.parameters)
    content = Content()
    if days:
        content.add(_by_day(reader, days))
        content.add(_lifecycle(reader, days))
        content.add(_stickiness(reader, days))
    if months:
        content.add(_by_calendar_month(reader, months))
    if not content.parts:
        content.add(Note("There is no day of activity in this period: choose another."))
    return content


def _terms(reader: Reader, columns: dict[str, str]) -> list[Term]:
    return [term(reader, name, "fct_active_users", column) for name, column in columns.items()]


def _by_day(reader: Reader, days: list[Row]) -> Chart:
    active = reader.definitions.active
    columns = {
        "daily": "daily_active_users",
        f"{active.week_days} days": "weekly_active_users",
        f"{active.month_days} days": "monthly_active_users",
    }
    return Chart(
        "daily",
        "Active users by day",
        f"How many users were active on each day, in the {active.week_days} days up to it, and in the"
        f" {active.month_days} days up to it.",
        figures.days([row["activity_date"] for row in days], {n: [r[c] for r in days] for n, c in columns.items()}),
        Table(
            ["day", *_terms(reader, columns)],
            [[row["activity_date"], *(count(row[c]) for c in columns.values())] for row in days],
        ),
    )


def _lifecycle(reader: Reader, days: list[Row]) -> Chart:
    """Shows the last day of each month, because the windows of neighbouring days overlap."""
    last = {row["activity_date"][:7]: row for row in days}
    length = reader.definitions.active.month_days
    left = {"left": "dormant_users"}
    active = {"retained": "retained_users", "returned": "resurrected_users", "new": "new_users"}
    return Chart(
        "lifecycle",
        "Who came, stayed, returned, left",
        f"The users who were active in the {length} days up to the last day of each month: retained users were also"
        f" active in the {length} days before, returned users were not, new users signed up in them. Below the line:"
        " users who were active before and are not any more.",
        figures.came_and_left(
            list(last),
            {name: [row[column] for row in last.values()] for name, column in active.items()},
            {"left": [row["dormant_users"] for row in last.values()]},
        ),
        Table(
            ["day", *_terms(reader, active | left)],
            [
                [row["activity_date"], *(count(row[c]) for c in active.values()), count(row["dormant_users"])]
                for row in last.values()
            ],
        ),
        is_wide=False,
    )


def _stickiness(reader: Reader, days: list[Row]) -> Chart:
    length = reader.definitions.active.month_days
    return Chart(
        "stickiness",
        "Stickiness",
        f"The mean share of the {length} days up to each day on which one of their active users was active: mean daily"
        f" active users divided by the users who were active in the {length} days.",
        figures.days([r["activity_date"] for r in days], {"stickiness": [r["stickiness"] for r in days]}, share=True),
        Table(
            ["day", *_terms(reader, {"stickiness": "stickiness"})],
            [[row["activity_date"], percent(row["stickiness"])] for row in days],
        ),
        is_wide=False,
    )


def _by_calendar_month(reader: Reader, months: list[Row]) -> Chart:
    labels = [row["activity_month"][:7] for row in months]
    young = [not row["is_complete"] for row in months]
    # Each user is in one cohort: those of another cohort than the month's signed up before.
    new = [row["new_users"] for row in months]
    before = [row["active_users"] - row["new_users"] for row in months]
    return Chart(
        "monthly",
        "Active users by calendar month",
        "Users who were active in a calendar month: those who signed up in it, and those who had signed up before."
        + (" Pale, striped bars can still grow." if young[-1] else ""),
        figures.bars(labels, {"signed up before": before, "signed up in it": new}, young, stacked=True),
        Table(
            [
                "month",
                term(reader, "active users", "fct_engagement_cohorts", "active_users"),
                "signed up before",
                "signed up in it",
            ],
            [
                [label + ("*" if y else ""), count(row["active_users"]), count(b), count(n)]
                for label, y, row, b, n in zip(labels, young, months, before, new, strict=True)
            ],
        ),
    )
