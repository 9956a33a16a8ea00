"""Reading Stripe's JSON, in which any field may be missing or malformed, and an object may be given by its id alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

# Epoch seconds up to the year 2100, which every date library can represent.
_MOMENTS = range(1, 4_102_444_800)


class StripeObject(NamedTuple):
    """An object and where it is: its file's path below the folder and its number in the file, from 1."""

    file: str
    number: int
    content: Mapping[str, Any]


def parse(text: str | bytes) -> Any:
    """JSON with fractions as they are written. Raises ValueError."""
    return json.loads(text, parse_float=Decimal, parse_constant=str)


def record(value: Any) -> Mapping[str, Any]:
    """An object of JSON; an empty one for anything else, such as the id of an object that was not expanded."""
    return value if isinstance(value, dict) else {}


def about(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that an event is about."""
    return record(record(event.get("data")).get("object"))


def id_of(value: Any) -> str | None:
    """The id of an object, expanded or not."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def moment(value: Any) -> int | None:
    """Epoch seconds; None if there is no moment. Stripe also writes 0 for none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value in _MOMENTS else None


def listed(value: Any) -> list[Any]:
    """The elements of an array, or of a list object of Stripe."""
    found = value.get("data") if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def day_of(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def start_of(day: date) -> int:
    """The first second of a day in UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
