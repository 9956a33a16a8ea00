"""Keeping, hashing or dropping e-mail addresses before they reach any table."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping

from growth.errors import UserError

Protect = Callable[[str | None], str | None]

# A domain that no address can have (RFC 2606), so that nobody takes a hash for an address.
_DOMAIN = "hashed.invalid"


def keep(email: str | None) -> str | None:
    """The address as it came."""
    return email


def chosen(environment: Mapping[str, str] = os.environ) -> Protect:
    """What to do with each address by SAAS_GROWTH_EMAILS: keep (the default), hash or drop.

    A hash is the HMAC-SHA256 (RFC 2104) of the lower-case address with SAAS_GROWTH_EMAIL_KEY. The same address always
    gives the same hash, and nobody can test addresses without the key. Raises UserError.
    """
    choice = environment.get("SAAS_GROWTH_EMAILS") or "keep"
    key = environment.get("SAAS_GROWTH_EMAIL_KEY") or ""
    if choice == "keep":
        return keep
    if choice == "drop":
        return lambda _email: None
    if choice != "hash":
        raise UserError(f"SAAS_GROWTH_EMAILS is {choice!r}: say keep, hash or drop.")
    if len(key) < 16:
        raise UserError("SAAS_GROWTH_EMAILS is hash: give a key of 16 characters or more in SAAS_GROWTH_EMAIL_KEY.")

    def hashed(email: str | None) -> str | None:
        if not email or not email.strip():
            return email
        digest = hmac.new(key.encode(), email.strip().lower().encode(), hashlib.sha256).hexdigest()
        return f"{digest[:32]}@{_DOMAIN}"

    return hashed
