"""The health of users: scores, who is at risk, who is ready for an upsell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from growth.language.queries import Reader, Row
from growth.ui import figures
from growth.ui.filters import BadRequest, Filters
from growth.ui.listing import Field, ListedTable, listing
from growth.ui.parts import NOTHING, Chart, Content, Note, Table, count, decimal, percent
from growth.ui.terms import term

PATH = "health"
TITLE = "Health"
TABLES = ("dim_user_health", "stg_users")
FILTERS = ()

POINTS = 5  # the width of a bar of the distribution
LISTS = {
    "at-risk": ("At risk", "is_at_risk"),
    "upsell-ready": ("Ready for an upsell", "is_upsell_ready"),
}
_MASK = "***"


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    rows = reader.rows("page/health")
    content = Content()
    if not rows:
        content.add(Note("Nobody has signed up yet."))
        return content
    content.add(_distribution(reader, rows))
    content.add(_statuses(reader, rows))
    name = _list(filters)
    word = reader.definitions.at_risk if name == "at-risk" else reader.definitions.upsell_ready
    content.add(
        listing(
            user_list(name, reader, sees_emails),
            reader,
            filters,
            name=name,
            title="Who needs a call",
            sentence=word.sentence.strip()
            + ("" if sees_emails else " E-mail addresses are shown to users who may edit the DAG."),
            download=f"{name}.csv",
            tabs=[
                (
                    f"{title} ({count(sum(row['users'] for row in rows if row[flag]))})",
                    filters.address(list=other, sort=None, order=None, page=None, q=None),
                    other == name,
                )
                for other, (title, flag) in LISTS.items()
            ],
        )
    )
    return content


def _list(filters: Filters) -> str:
    name = filters.list or "at-risk"
    if name not in LISTS:
        raise BadRequest(f"There is no list {name!r}: choose one of {', '.join(LISTS)}.")
    return name


def masked(text: str | None) -> str:
    """An e-mail address of which only the first letter is left."""
    return f"{text[0]}{_MASK}@{_MASK}" if text else NOTHING


def user_list(name: str, reader: Reader, sees_emails: bool) -> ListedTable:
    """One of the lists. Without the right to see e-mail addresses, they are not shown, searched or sorted by."""
    flag = LISTS[name][1]
    score = "overall_health_score"
    reason = "at_risk_reason" if flag == "is_at_risk" else "upsell_reason"

    def email(row: Row) -> str:
        return (row["email"] or NOTHING) if sees_emails else masked(row["email"])

    def user(row: Row) -> str:
        # The id of a user may be an e-mail address.
        return masked(row["user_id"]) if "@" in row["user_id"] and not sees_emails else row["user_id"]

    def field(
        column: str, title: str, text: Callable[[Any], str] = lambda value: value or NOTHING, **more: Any
    ) -> Field:
        title = term(reader, title, "dim_user_health", column)
        return Field(column, title, f"h.{column}", lambda row: text(row[column]), **more)

    return ListedTable(
        "page/user_list",
        {"flag": flag, "sees_emails": sees_emails},
        [
            Field("user_id", term(reader, "User", "dim_user_health", "user_id"), "h.user_id", user),
            Field("email", term(reader, "E-mail", "stg_users", "email"), "u.email" if sees_emails else None, email),
            field("plan_name", "Plan"),
            field("cohort_month", "Signed up", lambda month: month[:7]),
            field("last_active_date", "Last active"),
            field(score, "Score", decimal, is_number=True, in_csv=lambda row: row[score]),
            Field(
                "reason", term(reader, "Reason", "dim_user_health", reason), None, lambda row: row["reason"] or NOTHING
            ),
        ],
        sorted_by=score,
        order="asc" if name == "at-risk" else "desc",
    )


def _distribution(reader: Reader, rows: list[Row]) -> Chart:
    parts = range(0, 100, POINTS)
    statuses = [status.name for status in reader.definitions.health.statuses]
    found: Counter[tuple[str, int]] = Counter()
    for row in rows:
        # A score of 100 belongs to the last part.
        part = min(int(row["overall_health_score"] // POINTS) * POINTS, parts[-1])
        found[row["health_status"], part] += row["users"]
    labels = [f"{part} to {part + POINTS}" for part in parts]
    series = {status: [found[status, part] for part in parts] for status in statuses}
    return Chart(
        "scores",
        "Users by health score",
        f"{reader.definitions.health.sentence.strip()} The scale is logarithmic: each line is ten times the one below.",
        figures.distribution(parts, series),
        Table(
            ["score", *statuses],
            [[label, *(count(series[s][n]) for s in statuses)] for n, label in enumerate(labels)],
        ),
        is_wide=False,
    )


def _statuses(reader: Reader, rows: list[Row]) -> Chart:
    statuses = [status.name for status in reader.definitions.health.statuses]
    sums = {
        status: {
            "users": sum(row["users"] for row in rows if row["health_status"] == status),
            **{
                key: sum(row["users"] for row in rows if row["health_status"] == status and row[f"is_{key}"])
                for key in ("paying", "at_risk", "upsell_ready")
            },
        }
        for status in statuses
    }
    users = sum(row["users"] for row in rows)
    return Chart(
        "statuses",
        "Paying users by status",
        f"How many of the {count(users)} users pay, and how many of these are at risk or ready for an upsell.",
        figures.flags(
            statuses,
            {
                "paying": [sums[s]["paying"] for s in statuses],
                "at risk": [sums[s]["at_risk"] for s in statuses],
                "ready for an upsell": [sums[s]["upsell_ready"] for s in statuses],
            },
        ),
        Table(
            [
                term(reader, "status", "dim_user_health", "health_status"),
                "users",
                "share",
                term(reader, "paying", "dim_user_health", "is_paying"),
                term(reader, "at risk", "dim_user_health", "is_at_risk"),
                term(reader, "ready for an upsell", "dim_user_health", "is_upsell_ready"),
            ],
            [
                [
                    s,
                    count(sums[s]["users"]),
                    percent(sums[s]["users"] / users if users else None),
                    count(sums[s]["paying"]),
                    count(sums[s]["at_risk"]),
                    count(sums[s]["upsell_ready"]),
                ]
                for s in statuses
            ],
        ),
        is_wide=False,
    )
