"""Where raw rows come from. A source hands out whole batches: the rows that arrived on a day.

Rows are text as it came; nothing is refused here. What is malformed is rejected in staging, with its reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from growth.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class Source(Protocol):
    """A place that batches come from."""

    name: str
    """What the warehouse remembers: two sources with different names never share a warehouse."""

    first_day: date
    """The first day that has a batch."""

    last_day: date | None
    """The last day that has a batch; None where every whole day has one."""

    # A source that keeps what it was told in a folder has a method forget(ids) as well, for people who are erased, and
    # a property keeps_nothing: whether the folder is empty.

    def pieces(self, first: date, last: date) -> Iterator[Mapping[str, pd.DataFrame]]:
        """All batches of the days from first to last, both included, in pieces that fit into memory.

        A piece has a frame for some or all tables of RAW_COLUMNS, with the columns of ARRIVAL_COLUMNS and then those of
        the table: batch_date as ISO text, source_row as int, all others text or None. It may have one of UNMAPPED, too.
        A batch does not depend on which days are read together with it. Raises UserError, also after some pieces:
        then none of them may stay.
        """
        ...


def open_source(environment: Mapping[str, str] = os.environ) -> Source:
    """The source that SAAS_GROWTH_SOURCE names, or several of them as one: `segment,stripe`.

    Each is one of OPENERS or a mapping in include/sources, whose files lie at SAAS_GROWTH_SOURCE_PATH: a folder, or a
    URL such as s3://connection@bucket/folder. Of several it says which is where: segment=<place>,stripe=<place>.
    The synthetic source takes SAAS_GROWTH_SEED and SAAS_GROWTH_SCALE. Raises UserError.
    """
    names = [name.strip() for name in (environment.get("SAAS_GROWTH_SOURCE") or "synthetic").split(",")]
    known = sorted({*OPENERS, *(path.stem for path in MAPPINGS.glob("*.yaml"))})
    for name in names:
        if name not in known:
            raise UserError(
                f"There is no source {name}: choose {OWN} or a mapping in include/sources"
                f" ({', '.join(name for name in known if name != OWN)})."
            )
    if len(set(names)) < len(names):
        raise UserError(f"SAAS_GROWTH_SOURCE names {', '.join(names)}: name each source once.")
    places = places_of(environment.get("SAAS_GROWTH_SOURCE_PATH") or "", names)
    sources = {name: OPENERS.get(name, _open_files)(name, places.get(name, ""), environment) for name in sorted(names)}
    if len(sources) == 1:
        return sources[names[0]]
    from growth.sources.together import Together

    return Together(sources)


def places_of(text: str, names: Sequence[str]) -> dict[str, str]:
    """Where each source lies by SAAS_GROWTH_SOURCE_PATH: one place for all, or name=place,name=place."""
    parts = re.split(r"(?:^|,)\s*(" + "|".join(map(re.escape, names)) + ")=", text)
    if len(parts) == 1:
        return dict.fromkeys(names, text)
    if parts[0].strip():
        raise UserError(f"DATA is {text!r}: say {','.join(f'{name}=<place>' for name in names)}, or one place for all.")
    return {name: place.strip() for name, place in zip(parts[1::2], parts[2::2], strict=True)}


def absolute_places(text: str, names: Sequence[str], root: Path) -> str:
    """The same places, with folders as a process elsewhere finds them: those that are relative lie below root."""

    def absolute(place: str) -> str:
        return place if not place or "://" in place else str((root / Path(place).expanduser()).absolute())

    places = places_of(text, names)
    if set(places.values()) == {text}:
        return absolute(text)
    return ",".join(f"{name}={absolute(place)}" for name, place in places.items())


def _open_synthetic(_name: str, _place: str, environment: Mapping[str, str]) -> Source:
    from growth.sources.synthetic.rows import Synthetic

    try:
        seed = int(environment.get("SAAS_GROWTH_SEED") or 1)
        scale = float(environment.get("SAAS_GROWTH_SCALE") or 1)
    except ValueError:
        raise UserError("SAAS_GROWTH_SEED is a whole number and SAAS_GROWTH_SCALE a number: mend them.") from None
    if not 0 < scale <= 1000 or seed < 0:
        raise UserError("SAAS_GROWTH_SCALE lies above 0 and up to 1000, SAAS_GROWTH_SEED from 0 on: mend them.")
    return Synthetic(seed=seed, scale=scale)


def _open_files(name: str, place: str, _environment: Mapping[str, str]) -> Source:
    from growth.sources.mapped.files import Files

    if not place:
        raise UserError(f"The source {name} reads files: say in which folder or bucket they lie, with DATA=<folder>.")
    return Files(MAPPINGS / f"{name}.yaml", place)


OWN = "synthetic"
MAPPINGS = Path(__file__).parents[3] / "include" / "sources"


def _late(module: str, function: str) -> Callable[[str, str, Mapping[str, str]], Source]:
    def opener(name: str, place: str, environment: Mapping[str, str]) -> Source:
        return getattr(import_module(f"growth.sources.{module}"), function)(name, place, environment)

    return opener


OPENERS: dict[str, Callable[[str, str, Mapping[str, str]], Source]] = {
    OWN: _open_synthetic,
    "stripe": _late("stripe.files", "open_exports"),
    "stripe_fivetran": _late("stripe.fivetran", "open_tables"),
    "stripe_api": _late("stripe.api", "open_api"),
}
"""Sources that are no mapping: a function of the source's name, its place and the environment. Each imports late."""
