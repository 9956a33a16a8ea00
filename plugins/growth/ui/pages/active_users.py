"""How many are active, how often, and whether they are new."""

from __future__ import annotations

from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.parts import Chart, Content, Note, Table, count, decimal, percent
from growth.ui.reader import Reader

PATH = "active-users"
TITLE = "Active users"
TABLES = ("fct_engagement_cohorts",)
FILTERS = ("period",)


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    months = reader.rows("active_months", filters.bound)
    content = Content()
    if not months:
        content.add(Note("There is no month of activity in this period: choose another."))
        return content
    labels = [row["activity_month"][:7] for row in months]
    young = [not row["is_complete"] for row in months]
    starred = [label + ("*" if y else "") for label, y in zip(labels, young, strict=True)]
    not_over = " The last month is not over." if young[-1] else ""

    returning = [row["active_users"] - row["new_users"] for row in months]
    new = [row["new_users"] for row in months]
    content.add(
        Chart(
            "monthly",
            "Monthly active users",
            "Users who were active in a calendar month: those who signed up in it, and those who came back." + not_over,
            figures.bars(labels, {"came back": returning, "new": new}, young, stacked=True),
            Table(
                ["month", "active users", "came back", "new"],
                [
                    [s, count(row["active_users"]), count(r), count(n)]
                    for s, row, r, n in zip(starred, months, returning, new, strict=True)
                ],
            ),
        )
    )

    daily = [row["active_user_days"] / row["days_observed"] if row["days_observed"] else None for row in months]
    content.add(
        Chart(
            "daily",
            "Daily active users, mean of the month",
            "Users who were active on a day, on average over the days of the month." + not_over,
            figures.lines(labels, {"daily active users": daily}, young),
            Table(["month", "mean daily active users"], [[s, decimal(d)] for s, d in zip(starred, daily, strict=True)]),
            is_wide=False,
        )
    )

    stickiness = [
        d / row["active_users"] if d is not None and row["active_users"] else None
        for d, row in zip(daily, months, strict=True)
    ]
    content.add(
        Chart(
            "stickiness",
            "Stickiness",
            "Mean daily active users as a share of the month's active users: on how many of its days each came."
            + not_over,
            figures.lines(labels, {"stickiness": stickiness}, young, share=True),
            Table(["month", "stickiness"], [[s, percent(v)] for s, v in zip(starred, stickiness, strict=True)]),
            is_wide=False,
        )
    )
    return content
