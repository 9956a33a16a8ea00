"""Stripe's API through its library: pages of lists, with waits and retries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from growth.errors import UserError, one_line
from growth.sources.stripe.objects import id_of, listed, parse

CONNECTION = "stripe"

# The largest page that a list of Stripe has.
_LIMIT = 100


class Client:
    """Reads objects and lists. Raises UserError."""

    def __init__(
        self,
        key: str,
        base: str | None = None,
        tries: int = 7,
        sleep: Callable[[float], None] = time.sleep,
        timeout: float = 80,
    ) -> None:
        try:
            import stripe
        except ImportError:
            raise UserError(
                "SOURCE=stripe_api needs Stripe's library, which is not installed:"
                " pip install -r requirements-stripe.txt -c constraints.txt."
            ) from None
        self._stripe = stripe
        self._tries = tries
        self._sleep = sleep
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base} if base else None,
            # The library's own retries do not cover status 429, Retry-After and a body that breaks off.
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=timeout),
        )

    def get(self, path: str, **parameters: Any) -> dict[str, Any] | None:
        """One object or page; None if Stripe has none (404)."""
        error: Any = None
        for attempt in range(self._tries):
            if error is not None:
                self._sleep(_wait(error.headers, attempt))
            try:
                found = parse(self._client.raw_request("get", path, **parameters).body)
            except self._stripe.StripeError as raised:
                if raised.http_status == 404:
                    return None
                self._refuse(raised, path)
                error = raised
            else:
                return found if isinstance(found, dict) else {}
        status = error.http_status
        answered = f"answered {status}" if status and status != 200 else "broke off its answers"
        raise UserError(f"Stripe {answered} at {path} {self._tries} times: run again later, what was pulled is kept.")

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All objects of a list, newest first, each once."""
        seen: set[str] = set()
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=_LIMIT, **parameters, **after)
            if page is None or page.get("object") != "list":
                raise UserError(
                    f"What answers at {path} is no list of Stripe: correct the host of the connection {CONNECTION}."
                )
            objects = {str(name): each for each in listed(page) if (name := id_of(each))}
            new = objects.keys() - seen
            yield from (each for name, each in objects.items() if name in new)
            seen |= new
            if not page.get("has_more"):
                return
            if not new:
                raise UserError(
                    f"Stripe says that its list {path} goes on, but gives nothing new after {len(seen)} objects:"
                    " run again later, what was pulled is kept."
                )
            after = {"starting_after": list(objects)[-1]}

    def _refuse(self, error: Any, path: str) -> None:
        """Raise UserError for an answer that a retry would not change."""
        if isinstance(error, self._stripe.AuthenticationError):
            raise UserError(
                f"Stripe does not know the key of the connection {CONNECTION}: give it a secret or restricted key of"
                " the account as its password."
            ) from None
        if isinstance(error, self._stripe.PermissionError):
            raise UserError(
                f"The key of the connection {CONNECTION} may not read {path}: give it read access to subscriptions,"
                " customers, coupons and events."
            ) from None
        if error.http_status and 400 <= error.http_status < 500 and error.http_status not in (409, 429):
            message = one_line(error.user_message or "")[:200]
            raise UserError(f"Stripe refuses {path} (status {error.http_status}: {message}): check the key.") from None


def _wait(headers: Any, attempt: int) -> float:
    """Seconds to wait: what Stripe asks for, but at least 0.5, 1, 2 ... 32."""
    try:
        asked = float({k.lower(): v for k, v in (headers or {}).items()}.get("retry-after", 0))
    except ValueError:
        asked = 0.0
    return max(min(asked, 300.0), min(0.5 * 2 ** (attempt - 1), 32.0))


def client_of_connection() -> Client:
    """The client for the Airflow connection `stripe`: its password is the key, its host another base of the API.

    Raises UserError.
    """
    from airflow.exceptions import AirflowNotFoundException
    from airflow.sdk import BaseHook

    try:
        connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        connection = None
    if connection is None or not connection.password:
        raise UserError(
            f"There is no key for Stripe: make an Airflow connection {CONNECTION} with the key as its password, or set"
            f" AIRFLOW_CONN_{CONNECTION.upper()}."
        )
    return Client(connection.password, base_of(connection.host, connection.schema, connection.port))


def base_of(host: str | None, schema: str | None = None, port: int | None = None) -> str | None:
    """The base of the API that a connection names; None for Stripe's own."""
    if not host:
        return None
    base = host if "://" in host else f"{schema or 'https'}://{host}"
    return f"{base.rstrip('/')}:{port}" if port else base.rstrip("/")
