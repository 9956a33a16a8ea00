"""Which warehouse a command works on."""

from __future__ import annotations

from pathlib import Path

from growth.engines import SUFFIXES, Place, place_of
from growth.errors import UserError

# SQLite's hook makes a URI of the path: ? and # end it there, and % starts an escape.
FORBIDDEN_IN_FILES = "?#%"


def warehouse_place(root: Path, file: Path | None, connection: str | None, source: str) -> Place:
    """The file that was named, or what Airflow's connection says, or a file in data/ named after the source.

    Raises UserError where that cannot be a warehouse.
    """
    if file:
        place = Place(SUFFIXES.get(file.suffix, "sqlite"), str(file))
    elif connection:
        place = place_of(connection)
    else:
        name = "saas_funnel" if source == "synthetic" else ",".join(sorted(source.split(",")))
        place = Place("sqlite", str(root / "data" / f"{name}.db"))
    if not place.engine.is_file:
        return place
    path = place.path.absolute()
    if found := [character for character in FORBIDDEN_IN_FILES if character in str(path)]:
        raise UserError(
            f"The warehouse {path} has {' and '.join(found)} in its name, which Airflow misreads: rename it."
        )
    if path.is_dir():
        raise UserError(f"The warehouse {path} is a folder: name a file in it with WAREHOUSE=.")
    return place._replace(host=str(path))


def shown(path: Path) -> str:
    """A path as it is typed in the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
