"""Verifying that the published tables equal a full rebuild: one is built aside and compared cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, NamedTuple

from growth.engines import Aside, Connection, Place, transaction
from growth.errors import UserError
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.language.sql import Sql
from growth.language.tables import Table
from growth.warehouse.landing import set_as_of_day
from growth.warehouse.schema import prepare
from growth.warehouse.scripts import plain_errors, run_statements
from growth.warehouse.state import refuse_unpublished, settle

SHOWN = 10

BATCH_COLUMNS = ("batch_date", "table_name", "source_name", "rows_landed")

_Rows = dict[tuple[Any, ...], tuple[Any, ...]]


class Difference(NamedTuple):
    """A cell that differs from the rebuild. For a row that only one side has, column is None."""

    table: str
    key: tuple[Any, ...]
    column: str | None
    published: Any
    rebuilt: Any

    def __str__(self) -> str:
        row = f"{self.table} {', '.join(map(str, self.key))}"
        if self.column is None:
            return f"{row}: {'a rebuild has no such row' if self.published else 'only a rebuild has this row'}"
        return f"{row}: {self.column} is {self.published!r}, a rebuild gives {self.rebuilt!r}"


def rebuild(aside: Aside, sql: Sql, where: str) -> None:
    """Build all tables in an empty database aside, from the raw rows of the warehouse.

    These are read in one transaction, so that a run that publishes meanwhile is not seen. Raises UserError where the
    warehouse holds batches that have not been published.
    """
    target = aside.connection
    prepare(target, sql)
    with aside.looking() as of, transaction(target):
        _copy_raw_rows(target, of, sql, where)
    parameters = {"dag_id": "verify", "run_id": "verify", "first_day": "", "last_day": ""}
    for table in sql.tables:
        run_statements(target, sql.build(table, whole=True), parameters)
    run_statements(target, sql.publish(), parameters)


def _copy_raw_rows(target: Connection, of: Callable[[str], str], sql: Sql, where: str) -> None:
    refuse_unpublished(target, sql, where, of)
    copied = {table: (*ARRIVAL_COLUMNS, *columns) for table, columns in RAW_COLUMNS.items()}
    rows = {}
    for table, columns in (copied | {"raw_batches": BATCH_COLUMNS}).items():
        names = ", ".join(columns)
        target.execute(f"insert into {table} ({names}) select {names} from {of(table)}")
        (rows[table],) = target.execute(f"select count(*) from {table}").fetchone()
    sql.engine.update_statistics(target, rows)
    (as_of,) = target.execute(f"select as_of_date from {of('run_state')}").fetchone()
    adopt_raw_rows(target, sql, date.fromisoformat(as_of))


def adopt_raw_rows(target: Connection, sql: Sql, as_of: date) -> None:
    """Raw rows have come from another warehouse with this as-of day: all their batches are in scope."""
    target.execute("insert into work_scope_batches (batch_date) select distinct batch_date from raw_batches")
    set_as_of_day(target, as_of)
    settle(target, sql)


def differences(
    published: Connection,
    rebuilt: Connection,
    tables: Iterable[Table],
    of: Callable[[str], str] = str,
    within: float = 0.0,
) -> list[Difference]:
    """Every cell of some tables in which two warehouses differ; `of` names the first one's tables.

    Numbers that differ by `within` or less count as equal: engines add up fractions in different orders.
    """
    found = []
    for model in tables:
        columns = ", ".join(model.columns)
        places = [list(model.columns).index(c) for c in model.grain]

        def rows(connection: Connection, table: str, columns: str = columns, places: list[int] = places) -> _Rows:
            found = connection.execute(f"select {columns} from {table}")
            return {tuple(row[p] for p in places): row for row in found}

        ours, theirs = rows(published, of(model.name)), rows(rebuilt, model.name)
        for key in sorted(ours.keys() ^ theirs.keys(), key=str):
            found.append(Difference(model.name, key, None, ours.get(key), theirs.get(key)))
        for key in sorted((k for k in ours.keys() & theirs.keys() if ours[k] != theirs[k]), key=str):
            for column, a, b in zip(model.columns, ours[key], theirs[key], strict=True):
                if a != b and not _are_near(a, b, within):
                    found.append(Difference(model.name, key, column, a, b))
    return found


def _differs(target: Connection, of: Callable[[str], str], model: Table) -> bool:
    columns = ", ".join(model.columns)
    ours, theirs = (f"select {columns} from {table}" for table in (of(model.name), model.name))
    return any(
        target.execute(query).fetchone() is not None
        for query in (
            f"{ours} except {theirs} limit 1",
            f"{theirs} except {ours} limit 1",
            f"select 1 where (select count(*) from ({ours}) as a) <> (select count(*) from ({theirs}) as b)",
        )
    )


def _are_near(a: Any, b: Any, within: float) -> bool:
    return isinstance(a, int | float) and isinstance(b, int | float) and abs(a - b) <= within


class Verdict(NamedTuple):
    """What a comparison found, and how much it compared."""

    as_of: str
    tables: int
    rows: int
    differences: list[Difference]


def verify(place: Place, sql: Sql) -> Verdict:
    """Compare every table of the warehouse with a rebuild aside, which is deleted afterwards."""
    engine = place.engine
    if not engine.exists(place):
        raise UserError(f"There is no warehouse {place}: make run builds it.")
    with plain_errors(place), engine.aside(place) as aside:
        before = _state(aside, place)
        rebuild(aside, sql, str(place))
        with aside.looking() as of:
            target = aside.connection
            rows = sum(target.execute(f"select count(*) from {of(m.name)}").fetchone()[0] for m in sql.tables.values())
            # The database compares; only the rows of a table that differs are fetched.
            differing = [m for m in sql.tables.values() if _differs(target, of, m)]
            found = differences(target, target, differing, of)
        if _state(aside, place) != before:
            raise UserError(f"A run has changed the warehouse {place} meanwhile: verify again.")
        return Verdict(before[0], len(sql.tables), rows, found)


def _state(aside: Aside, place: Place) -> tuple[Any, ...]:
    """Values that change with every run that changes anything."""
    with aside.looking() as of:
        try:
            return aside.connection.execute(
                f"select published_date, published_run_id, revision from {of('run_state')}"
            ).fetchone()
        except place.engine.Error as error:
            if any(symptom in str(error) for symptom in ("no such table", "does not exist")):
                raise UserError(f"The warehouse {place} has no tables yet: make run builds them.") from None
            raise


def report(verdict: Verdict) -> int:
    """Print what was found; gives 0 where all is identical, else 1."""
    if not verdict.differences:
        compared = f"{verdict.tables} tables, {verdict.rows:,} rows as of {verdict.as_of}"
        print(f"identical: {compared}, rebuilt from the raw rows")
        return 0
    for difference in verdict.differences[:SHOWN]:
        print(difference)
    if len(verdict.differences) > SHOWN:
        print(f"... and {len(verdict.differences) - SHOWN} more")
    print(f"NOT identical: {len(verdict.differences)} differences; make run REBUILD=1 puts everything in scope")
    return 1
