"""The folder in which what Stripe's API said is kept, a file for each day and kind.

* `subscriptions-<day>.jsonl.gz`: a full list and all events that Stripe still had when it was pulled.
* `events-<day>.jsonl.gz`: the events of a day. A day without events has a file too.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from growth.errors import UserError
from growth.private_file import write_private
from growth.sources.contract import Archive
from growth.sources.file_stores import Folder
from growth.sources.stripe.exports import read_objects
from growth.sources.stripe.objects import StripeObject

Kind = Literal["subscriptions", "events"]


class StripeArchive(Archive):
    """The files of the folder. `names_of` gives the ids of the people that an object is about."""

    source = "stripe_api"
    table = "raw_subscriptions"
    remedy = "name the folder that all workers share with SAAS_GROWTH_STRIPE_FOLDER"

    def __init__(self, folder: Path, names_of: Callable[[Mapping[str, Any]], set[str]]) -> None:
        self._folder = folder
        self._names_of = names_of

    @property
    def is_empty(self) -> bool:
        return not self.days("subscriptions")

    def forget(self, ids: Collection[str]) -> int:
        removed = 0
        for kind in ("subscriptions", "events"):
            for day in sorted(self.days(kind)):
                objects = [each.content for each in self.objects(kind, day)]
                others = [each for each in objects if not self._names_of(each) & set(ids)]
                if len(others) < len(objects):
                    removed += len(objects) - len(others)
                    self.write(kind, day, others)
        return removed

    def days(self, kind: Kind) -> set[date]:
        """The days that have a file."""
        found = set()
        for path in self._folder.glob(f"{kind}-*.jsonl.gz") if self._folder.is_dir() else ():
            with contextlib.suppress(ValueError):
                found.add(date.fromisoformat(path.name.removeprefix(f"{kind}-").removesuffix(".jsonl.gz")))
        return found

    def objects(self, kind: Kind, day: date) -> list[StripeObject]:
        """The objects in the file of a day; none if there is no file."""
        path = self._path(kind, day)
        return list(read_objects(Folder(self._folder), path.name)) if path.exists() else []

    def write(self, kind: Kind, day: date, objects: Iterable[Mapping[str, Any]]) -> None:
        """Write the file of a day, completely or not at all, for its owner alone."""
        content = io.BytesIO()
        with gzip.GzipFile(fileobj=content, mode="wb", filename="", mtime=0) as packed:
            for each in objects:
                packed.write(json.dumps(each, default=_exact).encode() + b"\n")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_private(self._path(kind, day), content.getvalue())
        except OSError as error:
            raise UserError(
                f"Stripe's answers cannot be kept in {self._folder} ({error.strerror}): make room there and make the"
                " folder writable, or name another one."
            ) from None

    def _path(self, kind: Kind, day: date) -> Path:
        return self._folder / f"{kind}-{day.isoformat()}.jsonl.gz"


def _exact(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value)} is not JSON")
