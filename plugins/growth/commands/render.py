"""`render`: write every statement of the warehouse as its engines get it, for a linter or a person to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from growth.engines import MODULES
from growth.language import definitions
from growth.language.queries import write_queries
from growth.language.sql import Sql


def render(folder: Path, engines: Sequence[str] = tuple(MODULES)) -> int:
    """Write a folder for each engine; a statement that is the same for several engines, for the first alone."""
    words = definitions.load()
    first: dict[tuple[Path, str], str] = {}
    for engine in engines:
        target = folder / engine
        target.mkdir(parents=True, exist_ok=True)
        sql = Sql(words, engine)
        sql.write(target)
        write_queries(sql, target)
        for path in sorted(target.rglob("*.sql")):
            statement = path.relative_to(target), path.read_text(encoding="utf-8")
            if first.setdefault(statement, engine) != engine:
                path.unlink()
    return 0
