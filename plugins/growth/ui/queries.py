"""The page's SQL: files of include/sql/page as an engine gets them. What a request says is bound, never pasted in.

`python -m growth.ui.queries FOLDER` writes each query in its shapes, for a linter.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from growth.language import definitions
from growth.language.definitions import Definitions
from growth.language.sql import sql_environment
from growth.language.tables import SQL_FOLDER

FOLDER = SQL_FOLDER / "page"

# The shapes in which a query comes: switches, and columns from lists in the code. Those named here are all there are.
_CHANNELS = [{"by_source": s, "by_campaign": c} for s in (False, True) for c in (False, True)]
_LISTS = [{"counted": c, "searched": s} for c in (False, True) for s in (False, True)]
SHAPES: dict[str, list[dict[str, Any]]] = {
    "funnel_cohorts": _CHANNELS,
    "funnel_channels": _CHANNELS,
    "campaigns": _CHANNELS,
    "user_list": [
        shape | {"flag": flag, "sort": "u.email" if d else "h.plan_name", "descending": d, "sees_emails": d}
        for shape in _LISTS
        for flag in ("is_at_risk", "is_upsell_ready")
        for d in (False, True)
    ],
    "restatements": [shape | {"sort": "cause", "descending": True} for shape in _LISTS],
}


class Queries:
    """The queries of the page for one engine and one set of definitions."""

    def __init__(self, words: Definitions, engine: str) -> None:
        self._environment = sql_environment(words, engine)

    def text(self, name: str, **shape: Any) -> str:
        """One query. A shape is made of names that stand in the code, never of what a request says."""
        return self._environment.get_template(f"page/{name}.sql").render(**shape).strip()

    def tables(self) -> str:
        """The query for the names of the tables that there are."""
        return str(self._environment.globals["db"].table_names())


@cache
def _loaded(engine: str, changed: int) -> tuple[Definitions, Queries]:
    words = definitions.load()
    return words, Queries(words, engine)


def load(engine: str) -> tuple[Definitions, Queries]:
    """The dictionary and the queries that follow from it, read again when the file has changed. Raises UserError."""
    path = definitions.PATH
    return _loaded(engine, path.stat().st_mtime_ns if path.exists() else 0)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


if __name__ == "__main__":
    queries = Queries(definitions.load(), "sqlite")
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for name in names():
        for number, shape in enumerate(SHAPES.get(name, [{}])):
            (target / f"page__{name}_{number}.sql").write_text(queries.text(name, **shape) + "\n", encoding="utf-8")
