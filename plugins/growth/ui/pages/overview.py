"""The main numbers of today beside those of earlier months."""

from __future__ import annotations

from itertools import pairwise

from growth.language.definitions import Step
from growth.language.queries import Reader, Row
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.intervals import rate
from growth.ui.parts import Chart, Content, Table, Tile, Tiles, capital, count, percent, words
from growth.ui.terms import term

PATH = ""
TITLE = "Overview"
TABLES = ("fct_acquisition_funnel", "fct_engagement_cohorts", "dim_user_health")
FILTERS = ()

_NOT_OVER = "The month is not over"


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    filters = Filters().within([row["month"] for row in reader.rows("page/months")])
    cohorts = reader.rows("page/funnel_cohorts", filters.parameters)
    months = reader.rows("page/active_months", filters.parameters)
    health = reader.rows("page/health")
    content = Content()
    content.add(Tiles("People", [*_active(reader, months), *_health(reader, health)]))
    if tiles := _rates(reader, cohorts):
        content.add(Tiles("How far they get", tiles))
    if months:
        content.add(_chart(reader, months))
    return content


def _active(reader: Reader, months: list[Row]) -> list[Tile]:
    if not months:
        return []
    now, before = months[-1], months[-2:-1]
    month = now["activity_month"][:7]
    can_change = None if now["is_complete"] else _NOT_OVER
    return [
        Tile(
            "signups",
            term(reader, "Signups", "fct_engagement_cohorts", "cohort_size"),
            count(now["signups"]),
            f"in {month}",
            [(was["activity_month"][:7], count(was["signups"]), "") for was in before],
            can_change,
        ),
        Tile(
            "active_users",
            term(reader, "Monthly active users", "fct_engagement_cohorts", "active_users"),
            count(now["active_users"]),
            f"in {month}, of {count(now['users'])} users",
            [
                (was["activity_month"][:7], count(was["active_users"]), f"of {count(was['users'])} users")
                for was in before
            ],
            can_change,
        ),
    ]


def _health(reader: Reader, rows: list[Row]) -> list[Tile]:
    paying = sum(row["users"] for row in rows if row["is_paying"])
    return [
        Tile(
            flag,
            term(reader, title, "dim_user_health", f"is_{flag}"),
            count(number := sum(row["users"] for row in rows if row[f"is_{flag}"])),
            f"{percent(rate(number, paying).value)} of {count(paying)} paying users on the as-of day",
            [("earlier days are not kept", "", "")],
        )
        for flag, title in (("at_risk", "At risk"), ("upsell_ready", "Ready for an upsell"))
    ]


def _rates(reader: Reader, cohorts: list[Row]) -> list[Tile]:
    """A tile for each pair of steps: the newest cohort, the one before, and the newest final one before these."""
    if not cohorts:
        return []
    now, before = cohorts[-1], cohorts[-2:-1]
    final = [row for row in cohorts[:-2] if row["is_mature"]][-1:]
    tiles = []
    for step, then in pairwise(reader.definitions.funnel.steps):

        def share(row: Row, step: Step = step, then: Step = then) -> tuple[str, str]:
            found = rate(row[then.people], row[step.people])
            return percent(found.value), f"{count(found.part)} of {count(found.whole)}"

        value, of = share(now)
        tiles.append(
            Tile(
                f"{step.noun}_to_{then.noun}",
                term(
                    reader,
                    capital(f"{words(step.noun)} to {words(then.noun)}"),
                    "fct_acquisition_funnel",
                    f"{step.noun}_to_{then.noun}_rate",
                ),
                value,
                f"{of} {words(step.people)}, cohort {now['cohort_month'][:7]}",
                [
                    (row["cohort_month"][:7] + (" (final)" if row["is_mature"] else ""), *share(row))
                    for row in final + before
                ],
                None if now["is_mature"] else f"Can still change until {now['matures_on']}",
            )
        )
    return tiles


def _chart(reader: Reader, months: list[Row]) -> Chart:
    labels = [row["activity_month"][:7] for row in months]
    series = {
        "active users": [row["active_users"] for row in months],
        "signups": [row["signups"] for row in months],
    }
    young = [not row["is_complete"] for row in months]
    return Chart(
        "months",
        "Signups and active users by month",
        "How many signed up in each month, and how many were active in it."
        + (" The last month is not over." if young[-1] else ""),
        figures.bars(labels, series, young),
        Table(
            [
                "month",
                term(reader, "active users", "fct_engagement_cohorts", "active_users"),
                term(reader, "signups", "fct_engagement_cohorts", "cohort_size"),
            ],
            [
                [label + ("*" if y else ""), count(row["active_users"]), count(row["signups"])]
                for label, row, y in zip(labels, months, young, strict=True)
            ],
        ),
    )
