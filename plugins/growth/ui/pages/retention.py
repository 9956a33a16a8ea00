"""Retention: the triangle of cohorts, and their curves."""

from __future__ import annotations

from growth.language.queries import Reader, Row
from growth.ui import figures
from growth.ui.filters import Filters
from growth.ui.parts import Chart, Content, Note, Table, count, percent
from growth.ui.terms import Term, term

PATH = "retention"
TITLE = "Retention"
TABLES = ("fct_engagement_cohorts",)
FILTERS = ("period",)

NEWEST = 3
ALL = "all cohorts together"
_CELL = 34  # pixels for a number

Cells = dict[str, list[Row]]


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    cohorts: Cells = {}
    for row in reader.rows("page/cohorts", filters.parameters):
        cohorts.setdefault(row["cohort_month"][:7], []).append(row)
    content = Content()
    if not cohorts:
        content.add(Note("Nobody signed up in this period: choose another."))
        return content
    ages = list(range(1 + max(row["months_since_signup"] for rows in cohorts.values() for row in rows)))
    content.add(_triangle(reader, cohorts, ages))
    if any(row["is_complete"] for rows in cohorts.values() for row in rows):
        content.add(_curves(reader, cohorts, ages))
    return content


def _months(reader: Reader, ages: list[int]) -> list[str | Term]:
    """One header is explained for all."""
    first = term(reader, "month 0", "fct_engagement_cohorts", "retention_rate")
    return [first, *(f"month {age}" for age in ages[1:])]


def _table(reader: Reader, cohorts: Cells, ages: list[int]) -> Table:
    return Table(
        ["cohort", term(reader, "size", "fct_engagement_cohorts", "cohort_size"), *_months(reader, ages)],
        [
            [
                cohort,
                count(rows[0]["cohort_size"]),
                *(percent(r["retention_rate"]) + ("" if r["is_complete"] else "*") for r in rows),
                *[""] * (len(ages) - len(rows)),
            ]
            for cohort, rows in cohorts.items()
        ],
    )


def _triangle(reader: Reader, cohorts: Cells, ages: list[int]) -> Chart:
    def padded(values: list, nothing: object) -> list:
        return values + [nothing] * (len(ages) - len(values))

    return Chart(
        "triangle",
        "Who is active in the Nth month after the signup",
        "Each row is the cohort of a month of signups, each column a month since then, each cell the percentage of the"
        " cohort who were active in that month. A star marks a month that is not over.",
        figures.heat_map(
            list(cohorts),
            ages,
            [padded([r["retention_rate"] for r in rows], None) for rows in cohorts.values()],
            [padded([_cell(r) for r in rows], "") for rows in cohorts.values()],
        ),
        _table(reader, cohorts, ages),
        least_width=90 + _CELL * len(ages),
    )


def _cell(row: Row) -> str:
    if row["retention_rate"] is None:
        return ""
    return f"{100 * row['retention_rate']:.0f}" + ("" if row["is_complete"] else "*")


def pooled(cohorts: Cells, ages: list[int]) -> list[float | None]:
    """The share of active members at each age, over the cohorts whose month of that age is over."""
    shares: list[float | None] = []
    for age in ages:
        cells = [r for rows in cohorts.values() for r in rows if r["months_since_signup"] == age and r["is_complete"]]
        size = sum(r["cohort_size"] for r in cells)
        shares.append(sum(r["active_users"] for r in cells) / size if size else None)
    while shares and shares[-1] is None:
        shares.pop()
    return shares


def _curves(reader: Reader, cohorts: Cells, ages: list[int]) -> Chart:
    curves = {cohort: [r["retention_rate"] for r in rows if r["is_complete"]] for cohort, rows in cohorts.items()}
    curves = {cohort: values for cohort, values in curves.items() if values}
    # A cohort with one month would be a single point.
    newest = [cohort for cohort, values in curves.items() if len(values) > 1][-NEWEST:]
    together = pooled(cohorts, ages)
    before = {ALL: together} | {cohort: curves[cohort] for cohort in newest}
    behind = {cohort: values for cohort, values in curves.items() if cohort not in newest}
    return Chart(
        "curves",
        "Curves by cohort",
        "The share of a cohort that was active, by months since the signup; months that are not over are left out."
        " Thin grey lines are the older cohorts.",
        figures.curves(behind, before, [3, *[1] * len(newest)]),
        Table(
            ["cohort", *_months(reader, ages)],
            [
                [cohort, *map(percent, values), *[""] * (len(ages) - len(values))]
                for cohort, values in ({ALL: together} | curves).items()
            ],
        ),
    )
