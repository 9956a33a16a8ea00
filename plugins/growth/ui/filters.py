"""The filters of a request, validated. Nothing else reads the query of its address."""

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
    """A request asks for something that does not exist."""


@dataclass(frozen=True)
class Filters:
    """Months are dates of their first day, as in the tables. A filter that was not given is None."""

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
        """With a period: by default the last months that have data."""
        until = self.until or (months[-1] if months else "0000-00-00")
        before = [month for month in months if month <= until]
        since = self.since or (before[-MONTHS_SHOWN:] or [until])[0]
        return replace(self, since=since, until=until)

    @property
    def parameters(self) -> dict[str, object]:
        """What the queries bind."""
        return {"since": self.since, "until": self.until, "source": self.source, "campaign": self.campaign}

    @property
    def by_channel(self) -> dict[str, bool]:
        """The variables of queries by source and campaign."""
        return {"by_source": self.source is not None, "by_campaign": self.campaign is not None}

    @property
    def pattern(self) -> str:
        """The search as a pattern of SQL's `like`, with ! as its escape character."""
        return "%" + re.sub(r"([!%_])", r"!\1", (self.q or "").lower()) + "%"

    def address(self, **changes: object) -> str:
        """The query of a link with these filters and some changes; None removes a filter."""
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
        return "?" + urlencode({name: value for name, value in (asked | changes).items() if value is not None})

    def elsewhere(self) -> str:
        """The query of a link to another page: the filters that pages share."""
        return self.address(**dict.fromkeys(_OWN)).rstrip("?")


def read(query: Mapping[str, str]) -> Filters:
    """The filters of a request. Unknown names are ignored. Raises BadRequest for a value that is not valid."""
    asked = {name: query[name].strip() for name in (*_SHARED, *_OWN) if query.get(name, "").strip()}
    for name, value in asked.items():
        if len(value) > LONGEST or "\0" in value:
            raise BadRequest(f"The filter {name} is longer than {LONGEST} characters, or is not text: shorten it.")
    for name in ("from", "to"):
        if name in asked and not _MONTH.fullmatch(asked[name]):
            raise BadRequest(f"The filter {name} is {asked[name]!r}, which is not a month: write it like 2026-10.")
    since, until = (f"{asked[name]}-01" if name in asked else None for name in ("from", "to"))
    if since and until and since > until:
        raise BadRequest(f"The period begins with {since[:7]} and ends with {until[:7]}, before it: swap them.")
    if not re.fullmatch(r"[1-9]\d{0,5}", asked.get("page", "1")):
        raise BadRequest(f"There is no page {asked['page']!r}: pages are numbers from 1 on.")
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
