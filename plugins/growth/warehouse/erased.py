"""Who was erased, as far as a landing has to know it to keep their rows out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from growth.engines import Connection

if TYPE_CHECKING:
    import pandas as pd


class Erased:
    """The ids of people who were erased, as salted hashes: enough to keep their rows out, useless for finding them."""

    # The kind of id that each column of a raw table holds.
    KINDS: ClassVar[dict[str, str]] = {
        "user_id": "id",
        "other_user_id": "id",
        "anonymous_id": "anonymous",
        "other_anonymous_id": "anonymous",
        "event_id": "event",
        "subscription_id": "subscription",
    }

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.execute("select kind, digest from work_erased").fetchall()
        self._salt = next((digest for kind, digest in rows if kind == "salt"), None)
        self._digests = {digest for _, digest in rows}

    def _digest(self, kind: str, name: str) -> str:
        # Devices are named as in int_identities.
        kind, name = ("id", f"anonymous:{name.strip()}") if kind == "anonymous" else (kind, name.strip())
        return hashlib.sha256(f"{self._salt} {kind} {name}".encode()).hexdigest()

    def knows(self, kind: str, name: str) -> bool:
        return self._salt is not None and self._digest(kind, name) in self._digests

    def remember(self, names: Iterable[tuple[str, str]]) -> None:
        if self._salt is None:
            self._salt = secrets.token_hex(16)
            self._connection.execute("insert into work_erased (kind, digest) values ('salt', ?)", (self._salt,))
        self._connection.executemany(
            "insert into work_erased (kind, digest) values (?, ?) on conflict do nothing",
            [(kind, self._digest(kind, name)) for kind, name in names],
        )

    def without(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that name no person who was erased."""
        if self._salt is None:
            return frame
        is_kept = ~frame["batch_date"].isna()
        for column in frame.columns.intersection(list(self.KINDS)):
            erased = {n for n in frame[column].dropna().unique() if self.knows(self.KINDS[column], n)}
            is_kept &= ~frame[column].isin(erased)
        return frame[is_kept]
