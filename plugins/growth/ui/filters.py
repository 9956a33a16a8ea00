"""What a request asks for, validated: the only place that reads its query."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from growth.errors import UserError

MONTHS_SHOWN = 12
LONGEST = 200

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_SHARED = ("from", "to", "source", "campaign")
_OWN = ("list", "q", "sort", "order", "page")


class BadRequest(UserError):
    """Somebody asked for what there is not."""


@dataclass(frozen=True)
class Filters:
    """Months are the first of a month, as in the tables; what was not asked for is None."""

    since: str | None = None
    until: str | None = None
    source: str | None = None
    campaign: str | None = None
    list: str | None = None
    q: str | None = None
    sort: str | None = None
    order: str | None = None
    page: int = 1

    def within(self, months: Sequence[str]) -> Filters:
        """With a period: the last months that there are, where none was asked for."""
        until = self.until or (months[-1] if months else "0000-00-00")
        before = [month for month in months if month <= until]
        since = self.since or (before[-MONTHS_SHOWN:] or [until])[0]
        return replace(self, since=since, until=until)

    @property
    def bound(self) -> dict[str, object]:
        """The parameters of the queries."""
        return {"since": self.since, "until": self.until, "source": self.source, "campaign": self.campaign}

    @property
    def shape(self) -> dict[str, bool]:
        """The switches of the queries."""
        return {"by_source": self.source is not None, "by_campaign": self.campaign is not None}

    @property
    def pattern(self) -> str:
        """What is searched for, as a pattern of SQL's `like` with ! before its own signs."""
        return "%" + re.sub(r"([!%_])", r"!\1", (self.q or "").lower()) + "%"

    def address(self, **changes: object) -> str:
        """The query of a link that keeps what was asked for, but for the changes; None takes one away."""
        asked: dict[str, object | None] = {
            "from": self.since and self.since[:7],
            "to": self.until and self.until[:7],
            "source": self.source,
            "campaign": self.campaign,
            "list": self.list,
            "q": self.q,
            "sort": self.sort,
            "order": self.order,
            "page": self.page if self.page > 1 else None,
        }
        kept = {name: value for name, value in (asked | changes).items() if value is not None}
        return "?" + urlencode(kept)

    def elsewhere(self) -> str:
        """The query of a link to another page: what all pages have in common."""
        return self.address(**dict.fromkeys(_OWN)).rstrip("?")


def read(query: Mapping[str, str]) -> Filters:
    """The filters of a request. Raises BadRequest where one is none; names that nobody knows are passed over."""
    asked = {name: query[name].strip() for name in (*_SHARED, *_OWN) if query.get(name, "").strip()}
    for name, value in asked.items():
        if len(value) > LONGEST or "\0" in value:
            raise BadRequest(f"The filter {name} is longer than {LONGEST} characters, or no text: shorten it.")
    for name in ("from", "to"):
        if name in asked and not _MONTH.fullmatch(asked[name]):
            raise BadRequest(f"The filter {name} is {asked[name]!r}, which is no month: write it like 2026-10.")
    since, until = (f"{asked[name]}-01" if name in asked else None for name in ("from", "to"))
    if since and until and since > until:
        raise BadRequest(f"The period begins with {since[:7]} and ends with {until[:7]}, before it: swap them.")
    if not re.fullmatch(r"[1-9]\d{0,5}", asked.get("page", "1")):
        raise BadRequest(f"The page {asked['page']!r} is none: pages are numbers from 1 on.")
    return Filters(
        since,
        until,
        asked.get("source"),
        asked.get("campaign"),
        asked.get("list"),
        asked.get("q"),
        asked.get("sort"),
        asked.get("order"),
        int(asked.get("page", "1")),
    )
