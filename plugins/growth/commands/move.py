"""make move: the history of a warehouse into an empty one of another engine, and proof that it shows the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from growth.engines import SUFFIXES, Connection, Place, place_of
from growth.errors import UserError
from growth.language import definitions
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.language.sql import Sql
from growth.warehouse import pipeline
from growth.warehouse.schema import prepare
from growth.warehouse.scripts import connecting, plain_errors
from growth.warehouse.state import refuse_unpublished
from growth.warehouse.verify import BATCH_COLUMNS, adopt_raw_rows, differences

ROWS = 100_000
"""So many are held in memory at once."""

# What no run can compute again: what arrived, who was erased, and what has been said of earlier runs.
KEPT: dict[str, tuple[str, ...]] = {
    **{table: (*ARRIVAL_COLUMNS, *columns) for table, columns in RAW_COLUMNS.items()},
    "raw_batches": BATCH_COLUMNS,
    UNMAPPED: UNMAPPED_COLUMNS,
    "work_erased": ("kind", "digest"),
    "restatements": (
        *("table_name", "row_key", "column_name", "old_value", "new_value", "cause"),
        *("as_of_date", "dag_id", "run_id"),
    ),
    "check_results": ("dag_id", "run_id", "check_name", "severity", "rows_found"),
    "run_steps": ("dag_id", "run_id", "task_id", "rows_removed", "rows_written", "sql_seconds"),
}
RUN = {"dag_id": "move", "run_id": "move", "first_day": "", "last_day": ""}


def move(old: Place, into: str) -> int:
    """Fill the warehouse that `into` names, a file or a connection, from the old one. Raises UserError.

    The old one is only read, one moment of it. The new one is empty or what an earlier try has left.
    """
    new = _target(into)
    if not old.engine.exists(old):
        raise UserError(f"There is no warehouse {old}: name the one to move with WAREHOUSE=.")
    words = definitions.load()
    sql = Sql(words, new.kind)
    with plain_errors(old), closing(old.engine.read(old)) as source:
        refuse_unpublished(source, Sql(words, old.kind), str(old))
        with connecting(new) as target:
            _refuse_filled(target, new)
            prepare(target, sql)
            rows = _copy(source, target, sql)
            print(f"Copied {rows:,} rows; computing all tables from them ...", flush=True)
            pipeline.compute(target, sql, RUN)
            found = differences(source, target, sql.marts, within=1e-9)
            new.engine.refresh_readers(new, target)
    for difference in found[:10]:
        print(difference)
    if found:
        print(f"NOT identical: {len(found)} differences; the old warehouse is as it was, go on with that one.")
        return 1
    print(f"identical: {new} shows what {old} shows. From now on let Airflow have this connection:")
    print(f"  AIRFLOW_CONN_GROWTH_WAREHOUSE='{_without_secret(new)}'")
    return 0


def _target(text: str) -> Place:
    if text.lstrip().startswith("{") or "://" in text:
        return place_of(text)
    path = Path(text).expanduser().absolute()
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}: make it, or name a file in another with INTO=.")
    return Place(SUFFIXES.get(path.suffix, "sqlite"), str(path))


def _refuse_filled(target: Connection, place: Place) -> None:
    if "run_state" in place.engine.tables(target):
        (published,) = target.execute("select max(published_date) from run_state").fetchone()
        if published:
            raise UserError(f"The warehouse {place} has tables as of {published}: name an empty one with INTO=.")


def _copy(source: Connection, target: Connection, sql: Sql) -> int:
    """One transaction: all of it is there, or nothing."""
    counted = dict.fromkeys(KEPT, 0)
    target.execute("begin")
    try:
        for table, columns in KEPT.items():
            target.execute(f"delete from {table}")
            for rows in _rows(source, f"select {', '.join(columns)} from {table}"):
                sql.engine.load(target, table, columns, list(zip(*rows, strict=True)))
                counted[table] += len(rows)
        sql.engine.update_statistics(target, {table: counted[table] for table in RAW_COLUMNS})
        (as_of,) = source.execute("select as_of_date from run_state").fetchone()
        adopt_raw_rows(target, sql, date.fromisoformat(as_of))
    except BaseException:
        target.rollback()
        raise
    target.commit()
    return sum(counted.values())


def _rows(source: Connection, query: str) -> Iterator[list[tuple[Any, ...]]]:
    with closing(source.cursor()) as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(ROWS):
            yield rows


def _without_secret(place: Place) -> str:
    return place._replace(password=place.password and "...").as_json()
