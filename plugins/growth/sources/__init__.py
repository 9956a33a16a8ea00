"""Where raw rows come from: the sources by name, each of which meets `growth.sources.contract`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from growth.errors import UserError
from growth.sources.contract import Archive, Source

MAPPINGS = Path(__file__).parents[3] / "include" / "sources"


def open_source(environment: Mapping[str, str] = os.environ) -> Source:
    """The source that SAAS_GROWTH_SOURCE names, or several of them as one: `segment,stripe`.

    A name is a key of OWN_SOURCES or a mapping in include/sources. SAAS_GROWTH_SOURCE_PATH says where its files are: a
    folder, or a URL such as s3://connection@bucket/folder; for several sources segment=<place>,stripe=<place>.
    Raises UserError.
    """
    names = [name.strip() for name in (environment.get("SAAS_GROWTH_SOURCE") or SYNTHETIC).split(",")]
    known = sorted({*OWN_SOURCES, *(path.stem for path in MAPPINGS.glob("*.yaml"))})
    for name in names:
        if name not in known:
            raise UserError(
                f"There is no source {name}: choose {SYNTHETIC} or a mapping in include/sources"
                f" ({', '.join(name for name in known if name != SYNTHETIC)})."
            )
    if len(set(names)) < len(names):
        raise UserError(f"SAAS_GROWTH_SOURCE names {', '.join(names)}: name each source once.")
    locations = locations_of(environment.get("SAAS_GROWTH_SOURCE_PATH") or "", names)
    sources: dict[str, Source] = {}
    for name in sorted(names):
        own, location = OWN_SOURCES.get(name, _MAPPED), locations.get(name, "")
        if own.reads_files and not location:
            raise UserError(
                f"The source {name} reads files: say in which folder or bucket they are, with DATA=<folder>."
            )
        sources[name] = own.open(name, location, environment)
    if len(sources) == 1:
        return sources[names[0]]
    from growth.sources.together import Together

    return Together(sources)


def locations_of(text: str, names: Sequence[str]) -> dict[str, str]:
    """Where the files of each source are by SAAS_GROWTH_SOURCE_PATH: one place for all, or name=place,name=place."""
    parts = re.split(r"(?:^|,)\s*(" + "|".join(map(re.escape, names)) + ")=", text)
    if len(parts) == 1:
        return dict.fromkeys(names, text)
    if parts[0].strip():
        raise UserError(f"DATA is {text!r}: say {','.join(f'{name}=<place>' for name in names)}, or one place for all.")
    return {name: location.strip() for name, location in zip(parts[1::2], parts[2::2], strict=True)}


def absolute_locations(text: str, names: Sequence[str], root: Path) -> str:
    """The same text with absolute folders, for a process in another folder; relative ones are below root."""

    def absolute(location: str) -> str:
        return location if not location or "://" in location else str((root / Path(location).expanduser()).absolute())

    locations = locations_of(text, names)
    if set(locations.values()) == {text}:
        return absolute(text)
    return ",".join(f"{name}={absolute(location)}" for name, location in locations.items())


def archives_to_erase(source: Source, landed: Iterable[str]) -> list[Archive]:
    """The archives of an open source, for an erasure in a warehouse that holds batches of the sources `landed`.

    Raises UserError if the warehouse holds batches of a source whose archive is not among them.
    """
    open_now = {archive.source for archive in source.archives}
    for name in (part.strip() for names in landed for part in names.split(",")):
        if name in OWN_SOURCES and OWN_SOURCES[name].has_archive and name not in open_now:
            raise UserError(
                f"The source {name} keeps data of these people outside the warehouse: name it, with SOURCE={name}."
            )
    return source.archives


# Each of these imports its modules late, so that a process loads only what its source needs.


def _open_mapped(name: str, location: str, _environment: Mapping[str, str]) -> Source:
    from growth.sources.mapped.files import Files

    return Files(MAPPINGS / f"{name}.yaml", location)


def _open_synthetic(_name: str, _location: str, environment: Mapping[str, str]) -> Source:
    from growth.sources.synthetic.rows import Synthetic

    try:
        seed = int(environment.get("SAAS_GROWTH_SEED") or 1)
        scale = float(environment.get("SAAS_GROWTH_SCALE") or 1)
    except ValueError:
        raise UserError("SAAS_GROWTH_SEED is a whole number and SAAS_GROWTH_SCALE a number: correct them.") from None
    if not 0 < scale <= 1000 or seed < 0:
        raise UserError("SAAS_GROWTH_SCALE is above 0 and at most 1000, SAAS_GROWTH_SEED is 0 or more: correct them.")
    return Synthetic(seed=seed, scale=scale)


def _open_stripe_exports(_name: str, location: str, _environment: Mapping[str, str]) -> Source:
    from growth.sources.stripe.exports import StripeExports

    return StripeExports(location)


def _open_stripe_fivetran(_name: str, location: str, _environment: Mapping[str, str]) -> Source:
    from growth.sources.stripe.fivetran import StripeFivetran

    return StripeFivetran(location)


def _open_stripe_api(_name: str, _location: str, environment: Mapping[str, str]) -> Source:
    from growth.sources.stripe.api import StripeApi
    from growth.sources.stripe.client import client_of_connection

    # Not where the files of other sources are: those are only read.
    folder = environment.get("SAAS_GROWTH_STRIPE_FOLDER") or MAPPINGS.parents[1] / "data" / "stripe_api"
    return StripeApi(folder, client_of_connection)


class OwnSource(NamedTuple):
    """A source with code of its own."""

    open: Callable[[str, str, Mapping[str, str]], Source]
    """From its name, where its files are, and the environment."""
    reads_files: bool
    has_archive: bool = False


SYNTHETIC = "synthetic"
OWN_SOURCES = {
    SYNTHETIC: OwnSource(_open_synthetic, reads_files=False),
    "stripe": OwnSource(_open_stripe_exports, reads_files=True),
    "stripe_fivetran": OwnSource(_open_stripe_fivetran, reads_files=True),
    "stripe_api": OwnSource(_open_stripe_api, reads_files=False, has_archive=True),
}
_MAPPED = OwnSource(_open_mapped, reads_files=True)
