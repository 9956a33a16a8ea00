"""Damaged rows and files, made from good ones: what arrives when something upstream breaks.

Everything is drawn from a random.Random, so that a seed names a corpus. A damaged row comes with the reason for which
it must be rejected; half of them carry the id of a good row, which they must not replace.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

Row = dict[str, str | None]

DAYS = [date(2026, 1, 26) + timedelta(days=n) for n in range(12)]
PEOPLE = 60


# --- Good rows


class Arrival(NamedTuple):
    """A row of a raw table and the day on which it arrives."""

    day: date
    table: str
    row: Row


def good_rows(rng: Random) -> list[Arrival]:
    """Some weeks of a small company, without a fault."""
    rows = []
    for n in range(PEOPLE):
        user = f"u{n}"
        start = rng.randrange(len(DAYS) - 1)
        day = DAYS[start]
        rows.append(Arrival(day, "raw_events", event(f"v{n}", user, "visit", f"{day}T08:00:00Z")))
        rows.append(Arrival(day, "raw_users", signed_up(user, day)))
        for number, later in enumerate(DAYS[start:]):
            if rng.random() < 0.5:
                at = f"{later}T{rng.randrange(9, 23):02}:15:00Z"
                kind = rng.choice(["daily_active", "feature_used", "activated"])
                feature = rng.choice(["reports", "api", "export"]) if kind == "feature_used" else None
                rows.append(Arrival(later, "raw_events", event(f"e{n}-{number}", user, kind, at, feature)))
        if rng.random() < 0.5:
            rows.append(Arrival(rng.choice(DAYS[start:]), "raw_subscriptions", subscribed(f"s{n}", user, day, rng)))
    return rows


def signed_up(user: str, day: date) -> Row:
    return {"user_id": user, "signup_date": str(day), "email": f"{user}@example.com", "utm_source": "google"}


def event(event_id: str, user: str, kind: str, at: str, feature: str | None = None) -> Row:
    return {
        "event_id": event_id,
        "user_id": user,
        "event_type": kind,
        "event_date": at[:10],
        "event_timestamp": at,
        "feature_name": feature,
    }


def subscribed(subscription_id: str, user: str, day: date, rng: Random) -> Row:
    return {
        "subscription_id": subscription_id,
        "user_id": user,
        "plan_name": rng.choice(["Starter", "Pro", "Enterprise"]),
        "start_date": str(day),
        "end_date": rng.choice([None, str(day + timedelta(days=90))]),
        "mrr": rng.choice(["29", "99.00", "4.5e2"]),
        "status": rng.choice(["active", "trial", "cancelled"]),
        "currency": rng.choice([None, "EUR"]),
    }


# --- Damaged rows

FULLWIDTH = str.maketrans("0123456789", "".join(chr(0xFF10 + n) for n in range(10)))
ARABIC = str.maketrans("0123456789", "".join(chr(0x660 + n) for n in range(10)))

UNREADABLE_DATES = [
    "0000-01-01",  # there was no such year
    "2026-02-30", "2027-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00", "2026-01-32", "26-01-05",
    "2026/01/30", "30.01.2026", "01/30/2026", "2026-1-5", "20260130", "2026-W05-5", "1769731200", "46052",
    "Jan 30 2026", "2026-01-30T25:00:00", "2026-01-30T10:60:00", "2026-01-30T10:15:61", "2026-01-30T10", "2026-01-30T",
    "2026-01-30T10:15+25:00", "2026-01-30T10:15:00 PM", "2026-01-30 at noon", "2026-01-30Z10:00", "-2026-01-30",
    "+02026-01-30", "2026-01-30".translate(FULLWIDTH), "2026-01-30".translate(ARABIC), "2026\u201101\u201130",
    "yesterday", "now", "NULL", "null", "None", "nan", "NaT", "0", "-1", "1e9", "true", "[]", "{}", "''", "';--",
    "'2026-01-30'", '"2026-01-30"', "{{ 7 * 7 }}", "=TODAY()", "\ufffd", "😀", "x" * 10_000, "2026-01-30" * 1_000,
]  # fmt: skip
EARLY_DATES = ["1999-12-31", "0001-01-01T00:00:00Z", "1970-01-01", "1899-12-30"]
FUTURE_DATES = ["2099-01-01", "9999-12-31", "2062-01-30", "2226-01-30"]
UNREADABLE_PRICES = [
    "n/a", "NaN", "Infinity", "-Infinity", "free", "29,00", "1.000,00", "1 000", "$29", "29 EUR", "29.", ".5", "+29",
    "0x1d", "029", "1e", "1_000", "--1", "29-", "29".translate(ARABIC), "29".translate(FULLWIDTH), "null", "true",
    "[29]", "{}", '"29"', "'29'", "29;30", "\ufffd", "9" + "x" * 9_999, "1e309", "9" * 400,
]  # fmt: skip
UNKNOWN = [
    "Visit",
    "VISIT",
    "page_view",
    "visit ed",
    "visit;",
    "visit,signup",
    "None",
    "0",
    "''",
    "' or 1=1 --",
    "\ufffd",
    "é",
    "😀",
    "x" * 10_000,
]
NOTHING = [None, "", " ", "   "]
BLANKS = ["{} ", " {}", "  {}  "]

Damage = tuple[str, str, str, list[Any]]

# Table, column, the reason why a row is rejected whose column holds one of these.
DAMAGES: list[Damage] = [
    ("raw_users", "user_id", "no user id", NOTHING),
    ("raw_users", "user_id", "blanks around the user id", BLANKS),
    ("raw_users", "signup_date", "unreadable signup date", UNREADABLE_DATES + NOTHING),
    ("raw_users", "signup_date", "signup date too long ago", EARLY_DATES),
    ("raw_users", "signup_date", "signup date in the future", FUTURE_DATES),
    ("raw_users", "first_visit_date", "unreadable first visit date", UNREADABLE_DATES),
    ("raw_users", "first_visit_date", "first visit date too long ago", EARLY_DATES),
    ("raw_users", "first_visit_date", "first visit date in the future", FUTURE_DATES),
    ("raw_events", "event_id", "no event id", NOTHING),
    ("raw_events", "user_id", "no user id", NOTHING),
    ("raw_events", "user_id", "blanks around the user id", BLANKS),
    ("raw_events", "event_type", "no event type", NOTHING),
    ("raw_events", "event_type", "unknown event type", UNKNOWN),
    ("raw_events", "feature_name", "unknown feature", [*UNKNOWN, "Reports"]),
    ("raw_events", "event_timestamp", "unreadable event date", UNREADABLE_DATES),
    ("raw_events", "event_timestamp", "event date too long ago", EARLY_DATES),
    ("raw_events", "event_timestamp", "event date in the future", FUTURE_DATES),
    ("raw_subscriptions", "subscription_id", "no subscription id", NOTHING),
    ("raw_subscriptions", "user_id", "no user id", NOTHING),
    ("raw_subscriptions", "user_id", "blanks around the user id", BLANKS),
    ("raw_subscriptions", "plan_name", "no plan", NOTHING),
    ("raw_subscriptions", "plan_name", "unknown plan", [*UNKNOWN, "pro", "PRO"]),
    ("raw_subscriptions", "status", "no status", NOTHING),
    ("raw_subscriptions", "status", "unknown status", [*UNKNOWN, "Active"]),
    ("raw_subscriptions", "mrr", "unreadable price", UNREADABLE_PRICES + NOTHING),
    ("raw_subscriptions", "mrr", "negative price", ["-1", "-0.01", "-29.00", "-1e9"]),
    ("raw_subscriptions", "start_date", "unreadable start date", UNREADABLE_DATES + NOTHING),
    ("raw_subscriptions", "start_date", "start date too long ago", EARLY_DATES),
    ("raw_subscriptions", "start_date", "start date in the future", FUTURE_DATES),
    ("raw_subscriptions", "end_date", "unreadable end date", UNREADABLE_DATES),
    ("raw_subscriptions", "end_date", "end before start", ["2026-01-01", "2000-01-01"]),
]


class Damaged(NamedTuple):
    """A row that must be rejected, and why."""

    arrival: Arrival
    reason: str


def damaged_rows(rng: Random, good: list[Arrival]) -> Iterator[Damaged]:
    """Every damage once, in a row that some good one has become."""
    for number, (table, column, reason, values) in enumerate(DAMAGES):
        some = [a for a in good if a.table == table]
        for value in values:
            model = rng.choice(some)
            row = dict(model.row)
            if rng.random() < 0.5:
                key = next(iter(row))
                row[key] = f"damaged-{number}-{row[key]}"
            row[column] = value.format(row[column]) if values is BLANKS else value
            if column == "event_timestamp" and rng.random() < 0.5:
                row["event_date"], row[column] = row[column], None
            # Not before its model: what a row says must not lie in the future for another reason.
            yield Damaged(Arrival(rng.choice([d for d in DAYS if d >= model.day]), table, row), reason)


# --- Damaged lines of files

FILE_COLUMNS = ["id", "at", "mail", "source"]


def csv_line(fields: list[str]) -> str:
    return ",".join(f'"{f}"' if "," in f else f for f in fields)


def _too_many(rng: Random, fields: list[str]) -> str:
    return csv_line([*fields, *rng.choice([["more"], ["", ""], ["a", "b", "c"], [""] * 50])])


def _never_closed(rng: Random, fields: list[str]) -> str:
    fields = list(fields)
    fields[rng.randrange(len(fields))] = rng.choice(['"', '"never closed', '"""'])
    return ",".join(fields)


def _closed_too_early(rng: Random, fields: list[str]) -> str:
    fields = list(fields)
    fields[rng.randrange(len(fields))] = rng.choice(['"closed" early', '"a"b', '""x', '"a" "b"'])
    return ",".join(fields)


def _cut_off(rng: Random, fields: list[str]) -> str:
    """The line ends within its second field, the date."""
    return f"{fields[0]},{fields[1][: rng.randrange(1, 10)]}"


def _other_delimiter(rng: Random, fields: list[str]) -> str:
    return rng.choice([";", "\t", "|"]).join(fields)


def _no_line_of_the_file(rng: Random, fields: list[str]) -> str:
    return rng.choice(
        [
            ",".join(FILE_COLUMNS),
            "<html><body>502 Bad Gateway</body></html>",
            "Error: connection reset by peer",
            "-- 1 row(s) affected",
            "\ufffd" * 30,
            "PK\x03\x04\x14",
            "a\0b\0c",
            ",,,",
            "#",
            "x" * 200_000,
            '{"id": 1}',
        ]
    )


def _shifted(rng: Random, fields: list[str]) -> str:
    return csv_line(["", *fields[:-1]])


def _without_id(rng: Random, fields: list[str]) -> str:
    return csv_line(["", *fields[1:]])


CSV_DAMAGES: list[Callable[[Random, list[str]], str]] = [
    _too_many, _never_closed, _closed_too_early, _cut_off, _other_delimiter, _no_line_of_the_file, _shifted,
    _without_id,
]  # fmt: skip


def damaged_json_line(rng: Random, row: dict[str, Any]) -> str:
    """A line of JSON that is no object, or one without a usable id or moment."""
    whole = json.dumps(row)
    without_id = json.dumps({name: value for name, value in row.items() if name != "id"})
    return rng.choice(
        [
            whole[: rng.randrange(1, len(whole) - 1)],
            whole + "}",
            whole[1:],
            whole.replace(":", "=", 1),
            whole.replace('"', "'"),
            f"[{whole}]",
            json.dumps(whole),
            whole + whole,
            whole + ",",
            without_id,
            json.dumps(row | {"id": rng.choice([None, "", "  "])}),
            json.dumps(row | {"at": rng.choice([None, "", 0, True, [], {}, "soon", 1e300])}),
            rng.choice(
                ["null", "true", "0", "NaN", '""', "[]", "{}", "[[[[", "{" * 1000, "\x00", "]", "<xml/>", "1" * 5000]
            ),
        ]
    )


# --- Damaged files


def damaged_bytes(rng: Random, content: bytes) -> bytes:
    """A file that was cut, or of which some bytes are others, are gone or have come."""
    place = rng.randrange(len(content))
    length = min(rng.choice([1, 1, 2, 16, 300]), len(content) - place)
    noise = rng.randbytes(length)
    return rng.choice(
        [
            content[:place],
            content[place:],
            content[:place] + noise + content[place + length :],
            content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :],
            content[:place] + content[place + length :],
            content[:place] + noise + content[place:],
            content[:place] + bytes(length) + content[place + length :],
            content + noise,
            noise + content,
        ]
    )


def compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
