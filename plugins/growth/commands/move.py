"""make move: copy the history of a warehouse into an empty one of another engine, and prove that both show the same."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from itertools import islice
from pathlib import Path

from growth.engines import SUFFIXES, Connection, Place, place_of
from growth.errors import UserError
from growth.language import definitions
from growth.language.queries import Reader, allowed, query_text
from growth.language.raw import RAW_COLUMNS
from growth.language.sql import Sql
from growth.warehouse import pipeline
from growth.warehouse.schema import prepare
from growth.warehouse.scripts import connecting, plain_errors
from growth.warehouse.state import refuse_unpublished
from growth.warehouse.verify import adopt_raw_rows, differences

ROWS = 100_000
"""How many rows are held in memory at once."""

RUN = {"dag_id": "move", "run_id": "move", "first_day": "", "last_day": ""}


def move(old: Place, into: str) -> int:
    """Copy a warehouse into the one that `into` names; gives 0 where both show the same. Raises UserError.

    The old one is only read, in one consistent state. The new one is empty or holds what an earlier try has left.
    """
    new = _target(into)
    if not old.engine.exists(old):
        raise UserError(f"There is no warehouse {old}: name the one to move with WAREHOUSE=.")
    words = definitions.load()
    sql = Sql(words, new.kind)
    with plain_errors(old), closing(old.engine.read(old)) as source:
        reader = Reader(Sql(words, old.kind), source)
        refuse_unpublished(source, reader.sql, str(old))
        with connecting(new) as target:
            _refuse_filled(Reader(sql, target), new)
            prepare(target, sql)
            rows = _copy(reader, target, sql)
            print(f"Copied {rows:,} rows; computing all tables from them ...", flush=True)
            pipeline.compute(target, sql, RUN)
            found = differences(source, target, sql.marts, within=1e-9)
            new.engine.refresh_readers(new, target)
    for difference in found[:10]:
        print(difference)
    if found:
        print(f"NOT identical: {len(found)} differences; the old warehouse is unchanged, go on using that one.")
        return 1
    print(f"identical: {new} shows what {old} shows. Give Airflow this connection from now on:")
    print(f"  AIRFLOW_CONN_GROWTH_WAREHOUSE='{_without_secret(new)}'")
    return 0


def _target(text: str) -> Place:
    if text.lstrip().startswith("{") or "://" in text:
        return place_of(text)
    path = Path(text).expanduser().absolute()
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}: make it, or name a file in another with INTO=.")
    return Place(SUFFIXES.get(path.suffix, "sqlite"), str(path))


def _refuse_filled(target: Reader, place: Place) -> None:
    if "run_state" in target.tables and (published := target.row("page/state")["published_date"]):
        raise UserError(f"The warehouse {place} has tables as of {published}: name an empty one with INTO=.")


def _copy(source: Reader, target: Connection, sql: Sql) -> int:
    """Copy in one transaction what no run can compute again; gives the number of rows."""
    copied: dict[str, int] = {}
    target.execute("begin")
    try:
        for table in allowed("terminal/history")["table"]:
            target.execute(query_text(sql, "terminal/history", table=table, delete=True))
            copied[table] = 0
            rows = source.stream("terminal/history", table=table)
            while part := list(islice(rows, ROWS)):
                sql.engine.load(target, table, list(part[0]), list(zip(*(row.values() for row in part), strict=True)))
                copied[table] += len(part)
        sql.engine.update_statistics(target, {table: copied[table] for table in RAW_COLUMNS})
        adopt_raw_rows(target, sql, date.fromisoformat(source.row("page/state")["as_of_date"]))
    except BaseException:
        target.rollback()
        raise
    target.commit()
    return sum(copied.values())


def _without_secret(place: Place) -> str:
    return place._replace(password=place.password and "...").as_json()
