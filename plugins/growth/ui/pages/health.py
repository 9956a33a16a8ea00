"""How users are doing, who may leave, and who may want more."""

from __future__ import annotations

from growth.ui import figures
from growth.ui.filters import BadRequest, Filters
from growth.ui.listing import Field, Source, page_of
from growth.ui.parts import NOTHING, Chart, Content, Note, Table, count, decimal, percent
from growth.ui.reader import Reader, Row

PATH = "health"
TITLE = "Health"
TABLES = ("dim_user_health", "stg_users")
FILTERS = ()

POINTS = 5  # a bar of the distribution
LISTS = {
    "at-risk": ("At risk", "is_at_risk"),
    "upsell-ready": ("Ready for an upsell", "is_upsell_ready"),
}
_MASK = "***"


def build(reader: Reader, filters: Filters, sees_emails: bool) -> Content:
    rows = reader.rows("health", points=POINTS)
    content = Content()
    if not rows:
        content.add(Note("Nobody has signed up yet."))
        return content
    content.add(_distribution(reader, rows))
    content.add(_statuses(reader, rows))
    name = _list(filters)
    at_risk, upsell = (
        reader.words.at_risk.sentence,
        reader.words.upsell_ready.sentence,
    )
    content.add(
        page_of(
            source(name, reader, sees_emails),
            reader,
            filters,
            name=name,
            title="Who needs a call",
            says=(at_risk if name == "at-risk" else upsell)
            + ("" if sees_emails else " E-mail addresses are shown to those who may edit the DAG."),
            download=f"{name}.csv",
            tabs=[
                (
                    f"{title} ({count(sum(row[flag.removeprefix('is_')] for row in rows))})",
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
    """An address of which the first letter is left. A user's id may be one."""
    if not text:
        return NOTHING
    return f"{text[0]}{_MASK}@{_MASK}" if "@" in text else text


def source(name: str, reader: Reader, sees_emails: bool) -> Source:
    """One of the lists. Without the right to see addresses they are neither shown nor searched nor sorted by."""

    def personal(text: str | None) -> str:
        return (text or NOTHING) if sees_emails else masked(text)

    def email(row: Row) -> str:
        return personal(row["email"]) if sees_emails or "@" in (row["email"] or "@") else _MASK

    return Source(
        "user_list",
        {"flag": LISTS[name][1], "sees_emails": sees_emails},
        [
            Field("user_id", "User", "h.user_id" if sees_emails else None, lambda row: personal(row["user_id"])),
            Field("email", "E-mail", "u.email" if sees_emails else None, email),
            Field("plan_name", "Plan", "h.plan_name", lambda row: row["plan_name"] or NOTHING),
            Field("cohort_month", "Signed up", "h.cohort_month", lambda row: row["cohort_month"][:7]),
            Field(
                "last_active_date", "Last active", "h.last_active_date", lambda row: row["last_active_date"] or NOTHING
            ),
            Field(
                "overall_health_score",
                "Score",
                "h.overall_health_score",
                lambda row: decimal(row["overall_health_score"]),
                is_number=True,
                in_csv=lambda row: row["overall_health_score"],
            ),
            Field("reason", "Reason", None, lambda row: row["reason"] or NOTHING),
        ],
        sorted_by="overall_health_score",
        order="asc" if name == "at-risk" else "desc",
    )


def _distribution(reader: Reader, rows: list[Row]) -> Chart:
    parts = [float(part) for part in range(0, 100, POINTS)]
    statuses = [status.name for status in reader.words.health.statuses]
    found = {(row["health_status"], float(row["from_score"])): row["users"] for row in rows}
    labels = [f"{part:.0f} to {part + POINTS:.0f}" for part in parts]
    series = {status: [found.get((status, part), 0) for part in parts] for status in statuses}
    return Chart(
        "scores",
        "Users by health score",
        f"{reader.words.health.sentence.strip()} Few users stand beside many: each line is ten times the one below.",
        figures.distribution([int(part) for part in parts], series),
        Table(
            ["score", *statuses],
            [[label, *(count(series[s][n]) for s in statuses)] for n, label in enumerate(labels)],
        ),
        is_wide=False,
    )


def _statuses(reader: Reader, rows: list[Row]) -> Chart:
    statuses = [status.name for status in reader.words.health.statuses]
    sums = {
        status: {
            key: sum(row[key] for row in rows if row["health_status"] == status)
            for key in ("users", "paying", "at_risk", "upsell_ready")
        }
        for status in statuses
    }
    users = sum(row["users"] for row in rows)
    return Chart(
        "statuses",
        "Paying users by status",
        f"Of {count(users)} users, those who pay: how many they are, are at risk, are ready for an upsell.",
        figures.flags(
            statuses,
            {
                "paying": [sums[s]["paying"] for s in statuses],
                "at risk": [sums[s]["at_risk"] for s in statuses],
                "ready for an upsell": [sums[s]["upsell_ready"] for s in statuses],
            },
        ),
        Table(
            ["status", "users", "share", "paying", "at risk", "ready for an upsell"],
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
