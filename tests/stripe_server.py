"""An account of Stripe that a test writes down, and a server on this machine that answers for it as Stripe's API does.

Shapes are those of the public fixtures (stripe/openapi) in the shared folder, from where objects are loaded; the
account makes its events from what changes. Faults are answered one for each request, in their order.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "sk_live_of_a_test"
_EVENTS_KEPT = timedelta(days=30)


def at(day: date | str, clock: str = "12:00:00") -> int:
    """Epoch seconds of a moment in UTC."""
    return int(datetime.fromisoformat(f"{day}T{clock}+00:00").timestamp())


def price(amount: int | None = 5000, interval: str = "month", count: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"price_{amount}_{interval}",
        "object": "price",
        "billing_scheme": "per_unit",
        "currency": "usd",
        "product": "prod_1",
        "recurring": {"interval": interval, "interval_count": count, "usage_type": "licensed"},
        "unit_amount": amount,
        "unit_amount_decimal": None if amount is None else str(amount),
    } | more


def item(each: dict[str, Any] | None = None, quantity: int | None = 1, **more: Any) -> dict[str, Any]:
    kept = {} if quantity is None else {"quantity": quantity}
    return {"id": "si_1", "object": "subscription_item", "price": each or price(), "discounts": [], **kept, **more}


def items(*each: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(each), "has_more": False, "url": "/v1/subscription_items"}


def coupon(name: str = "co_1", **more: Any) -> dict[str, Any]:
    kept = {"id": name, "object": "coupon", "percent_off": None, "amount_off": None, "currency": None}
    return kept | {"duration": "forever"} | more


def discount(of: dict[str, Any], name: str = "di_1", **more: Any) -> dict[str, Any]:
    source = {"type": "coupon", "coupon": of}
    return {"id": name, "object": "discount", "start": at("2020-01-01"), "end": None, "source": source} | more


def subscription(name: str = "sub_1", since: int | None = None, **more: Any) -> dict[str, Any]:
    since = at("2025-01-01") if since is None else since
    return {
        "id": name,
        "object": "subscription",
        "customer": name.replace("sub_", "cus_"),
        "status": "active",
        "currency": "usd",
        "created": since,
        "start_date": since,
        "trial_start": None,
        "trial_end": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "ended_at": None,
        "pause_collection": None,
        "discounts": [],
        "items": items(item()),
        "livemode": True,
        "metadata": {},
    } | more


def event(kind: str, created: int, after: dict[str, Any], previous: dict[str, Any] | None = None, **more: Any) -> Any:
    data = {"object": copy.deepcopy(after)} | ({} if previous is None else {"previous_attributes": previous})
    name = f"evt_{after['id']}_{created}_{kind.rpartition('.')[2]}"
    kept = {"id": name, "object": "event", "type": kind, "created": created, "livemode": after.get("livemode", True)}
    return kept | {"api_version": "2025-09-30.clover", "data": data} | more


class Account:
    """What an account of Stripe has, and what happened in it."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.coupons: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.hidden: set[str] = set()
        """Events that the API does not show yet."""

    def create(self, new: dict[str, Any]) -> dict[str, Any]:
        self.subscriptions[new["id"]] = new
        self.customers.setdefault(new["customer"], {"id": new["customer"], "object": "customer", "metadata": {}})
        self._tell("customer.subscription.created", new["created"], new)
        return new

    def change(self, name: str, when: int, **changes: Any) -> dict[str, Any]:
        """Change a subscription; gives the event."""
        now = self.subscriptions[name]
        previous = _previous(_collapsed(now), _collapsed(now | changes))
        now.update(changes)
        return self._tell("customer.subscription.updated", when, now, previous)

    def cancel(self, name: str, when: int) -> dict[str, Any]:
        now = self.subscriptions[name]
        now.update(status="canceled", canceled_at=when, ended_at=when)
        return self._tell("customer.subscription.deleted", when, now)

    def _tell(self, kind: str, when: int, about: dict[str, Any], previous: Any = None) -> dict[str, Any]:
        made = event(kind, when, _collapsed(about), previous)
        made["id"] += f"_{len(self.events)}"
        self.events.append(made)
        return made


def _previous(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """previous_attributes: what differed before, within objects key by key, lists whole."""
    found = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old != new:
            found[key] = _previous(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found


def _collapsed(whole: dict[str, Any], expand: frozenset[str] = frozenset(), account: Account | None = None) -> Any:
    """A subscription as the API renders it: ids where nothing is expanded."""
    shown = copy.deepcopy(whole)
    for holder, path in [(shown, ""), *((each, "items.data.") for each in shown.get("items", {}).get("data", []))]:
        for one in holder.get("discounts", []):
            if f"{path}discounts.source.coupon" not in expand:
                one["source"]["coupon"] = one["source"]["coupon"]["id"]
        if f"{path}discounts" not in expand and "discounts" in holder:
            holder["discounts"] = [one["id"] for one in holder["discounts"]]
    if account and "customer" in expand:
        shown["customer"] = copy.deepcopy(account.customers.get(shown["customer"], shown["customer"]))
    return shown


class Server:
    """Answers for an account. `now` is the server's clock: events older than 30 days are gone."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.now = at("2025-03-01")
        self.faults: list[str] = []
        """For the next requests: ok, 429, 500, 503, 401, 403, 400, reset, cut, cut chunks, html, cut json,
        other json."""
        self.loops = False
        """Lists begin again at their end, with has_more."""
        self.empty_pages = False
        """Lists go on with empty pages and has_more."""
        self.shuffled = False
        """Events come out of order, and each of them twice."""
        self.before_page: Any = None
        """Called before each page of subscriptions, with its number."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.page_size = 100
        self.base = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        expand = frozenset(re.sub("^data[.]", "", v) for k, v in query.items() if k.startswith("expand"))
        account = self.account
        if path == "/v1/subscriptions":
            pages = [p for p, _ in self.requests if p == path]
            if self.before_page:
                self.before_page(len(pages))
            every = sorted(account.subscriptions.values(), key=lambda s: -s["created"])
            if query.get("status") != "all":
                every = [s for s in every if s["status"] not in ("canceled", "incomplete_expired")]
            return 200, self._page(every, query, lambda s: self._rendered(s, expand))
        if path == "/v1/events":
            oldest = self.now - int(_EVENTS_KEPT.total_seconds())
            types = {v for k, v in query.items() if k.startswith("types")}
            low, high = int(query.get("created[gte]", 0)), int(query.get("created[lt]", 10**12))
            every = [
                e
                for e in sorted(account.events, key=lambda e: -e["created"])
                if e["type"] in types
                and max(low, oldest) <= e["created"] < min(high, self.now + 1)
                and e["id"] not in account.hidden
            ]
            if self.shuffled:
                every = sorted([*every, *every], key=lambda e: hash(e["id"]) % 7)
            return 200, self._page(every, query, copy.deepcopy)
        if path == "/v1/subscription_items":
            of = account.subscriptions[query["subscription"]]
            return 200, self._page(of["items"]["data"], query, copy.deepcopy)
        if found := re.fullmatch("/v1/subscriptions/(.+)", path):
            if found[1] in account.subscriptions:
                return 200, self._rendered(account.subscriptions[found[1]], expand)
        elif (found := re.fullmatch("/v1/coupons/(.+)", path)) and found[1] in account.coupons:
            return 200, account.coupons[found[1]]
        return 404, {"error": {"type": "invalid_request_error", "message": f"No such thing: {path}"}}

    def _rendered(self, whole: dict[str, Any], expand: frozenset[str]) -> dict[str, Any]:
        shown = _collapsed(whole, expand, self.account)
        if len(shown["items"]["data"]) > 10:
            shown["items"] |= {"data": shown["items"]["data"][:10], "has_more": True}
        return shown

    def _page(self, every: list[Any], query: dict[str, str], render: Any) -> dict[str, Any]:
        limit = min(int(query.get("limit", 10)), self.page_size)
        begin = 0
        if after := query.get("starting_after"):
            places = [n for n, each in enumerate(every) if each["id"] == after]
            begin = places[-1] + 1 if places else 0
        data = every[begin : begin + limit]
        more = begin + limit < len(every)
        if self.loops and not more:
            more = True
            if after and not data:
                data = every[:limit]
        if self.empty_pages and not more:
            data, more = data if not after else [], True
        return {"object": "list", "data": [render(each) for each in data], "has_more": more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: the second of two waits 40 ms for the first to be acknowledged
    server: Any

    def do_GET(self) -> None:
        stripe: Server = self.server.stripe
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        stripe.requests.append((url.path, query))
        fault = stripe.faults.pop(0) if stripe.faults else "ok"
        if self.headers.get("Authorization") != f"Bearer {KEY}" or fault == "401":
            return self._send(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key: sk_l***"}})
        if fault == "429":
            return self._send(429, {"error": {"type": "rate_limit_error", "message": "slower"}}, {"Retry-After": "3"})
        if fault in ("400", "403", "500", "503"):
            return self._send(int(fault), {"error": {"type": "api_error", "message": "no"}})
        if fault == "reset":
            self.close_connection = True
            return None
        if fault == "html":
            return self._write(200, b"<html>a proxy of the office</html>")
        if fault == "other json":
            return self._write(200, b'{"status": "all is well"}')
        status, body = stripe.answer(url.path, query)
        text = json.dumps(body).encode()
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
            return None
        if fault == "cut chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(text) + text[: len(text) // 2])
            self.close_connection = True
            return None
        return self._write(status, text[: len(text) // 2] if fault == "cut json" else text)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._write(status, json.dumps(body).encode(), headers)

    def _write(self, status: int, text: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(account: Account) -> Iterator[Server]:
    """A server for an account, on a free port of this machine."""
    stripe = Server(account)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.stripe = stripe
    stripe.base = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stripe
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def moment_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
