"""Does what people read equal a full rebuild from the raw tables? Builds one aside and compares cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from growth.engines import Aside, Connection, Place, transaction
from growth.errors import UserError
from growth.language.models import Model
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS
from growth.language.sql import Sql
from growth.warehouse.landing import plain_errors, prepare, run_script

SHOWN = 10

BATCH_COLUMNS = ("batch_date", "table_name", "source_name", "rows_landed")

_Rows = dict[tuple[Any, ...], tuple[Any, ...]]


class Difference(NamedTuple):
    """A cell that is not what a rebuild gives; for a row that only one side has, column is None."""

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
    """Build all tables of the warehouse in an empty database aside, from the raw rows that it sees.

    One transaction for what is read: what a run publishes meanwhile is not seen. Raises UserError where the warehouse
    holds batches that have not been published.
    """
    target = aside.connection
    prepare(target, sql)
    with aside.looking() as prefix, transaction(target):
        _copy_raw_rows(target, prefix, sql, where)
    parameters = {"dag_id": "verify", "run_id": "verify", "first_day": "", "last_day": ""}
    for model in sql.models:
        run_script(target, sql.build(model.name, whole=True), parameters)
    run_script(target, sql.publish(), parameters)


def _copy_raw_rows(target: Connection, prefix: str, sql: Sql, where: str) -> None:
    refuse_unpublished(target, prefix, where, sql.definitions_hash)
    copied = {table: (*ARRIVAL_COLUMNS, *columns) for table, columns in RAW_COLUMNS.items()}
    rows = {}
    for table, columns in (copied | {"raw_batches": BATCH_COLUMNS}).items():
        names = ", ".join(columns)
        target.execute(f"insert into {table} ({names}) select {names} from {prefix}{table}")
        (rows[table],) = target.execute(f"select count(*) from {table}").fetchone()
    sql.engine.loaded(target, rows)
    state = target.execute(f"select as_of_date, as_of_day, as_of_month from {prefix}run_state").fetchone()
    copy_state(target, sql, *state)


def refuse_unpublished(connection: Connection, prefix: str, where: str, definitions_hash: str) -> None:
    """Raises UserError where the warehouse shows anything but what its raw rows give by the definitions."""
    (hash_of_published,) = connection.execute(f"select published_hash from {prefix}run_state").fetchone()
    days, first, last = connection.execute(
        f"select count(*), min(batch_date), max(batch_date) from {prefix}scope_batches"
    ).fetchone()
    if days or hash_of_published is None:
        raise UserError(
            f"The warehouse {where} holds batches that no run has published ({first} to {last}):"
            " let the run end, or run again, and try then."
        )
    if hash_of_published != definitions_hash:
        raise UserError("The definitions have changed since the last run: run again, and try then.")


def definitions_have_changed(connection: Connection, sql: Sql) -> bool:
    """Whether tables were published by other definitions than there are now."""
    return connection.execute("select published_hash from run_state").fetchone() != (sql.definitions_hash,)


def copy_state(target: Connection, sql: Sql, as_of_date: str, as_of_day: int, as_of_month: str) -> None:
    """Raw rows have come from another warehouse with this as-of day: all their batches are in scope."""
    target.execute("insert into scope_batches (batch_date) select distinct batch_date from raw_batches")
    target.execute(
        "update run_state set as_of_date = ?, as_of_day = ?, as_of_month = ?, definitions_hash = ?",
        (as_of_date, as_of_day, as_of_month, sql.definitions_hash),
    )


def differences(
    published: Connection, rebuilt: Connection, models: Iterable[Model], prefix: str = "", within: float = 0.0
) -> list[Difference]:
    """Every cell of some tables in which two warehouses differ; the first has its tables under a prefix.

    Numbers count as equal that are `within` of each other: other engines add up fractions in another order.
    """
    found = []
    for model in models:
        columns = ", ".join(model.columns)
        places = [model.columns.index(c) for c in model.grain]

        def rows(connection: Connection, table: str, columns: str = columns, places: list[int] = places) -> _Rows:
            found = connection.execute(f"select {columns} from {table}")
            return {tuple(row[p] for p in places): row for row in found}

        ours, theirs = rows(published, prefix + model.name), rows(rebuilt, model.name)
        for key in sorted(ours.keys() ^ theirs.keys(), key=str):
            found.append(Difference(model.name, key, None, ours.get(key), theirs.get(key)))
        for key in sorted((k for k in ours.keys() & theirs.keys() if ours[k] != theirs[k]), key=str):
            for column, a, b in zip(model.columns, ours[key], theirs[key], strict=True):
                if a != b and not _are_near(a, b, within):
                    found.append(Difference(model.name, key, column, a, b))
    return found


def _differs(target: Connection, prefix: str, model: Model) -> bool:
    columns = ", ".join(model.columns)
    ours, theirs = (f"select {columns} from {table}" for table in (prefix + model.name, model.name))
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
    """Compare every table of the warehouse with a rebuild made aside, which is gone afterwards."""
    engine = place.engine
    if not engine.exists(place):
        raise UserError(f"There is no warehouse {place}: make run builds it.")
    with plain_errors(place), engine.aside(place) as aside:
        before = _state(aside, place)
        rebuild(aside, sql, str(place))
        with aside.looking() as prefix:
            target = aside.connection
            rows = sum(target.execute(f"select count(*) from {prefix}{m.name}").fetchone()[0] for m in sql.models)
            # The databases compare; only a table that differs is fetched to see where.
            differing = [m for m in sql.models if _differs(target, prefix, m)]
            found = differences(target, target, differing, prefix)
        if _state(aside, place) != before:
            raise UserError(f"A run has changed the warehouse {place} meanwhile: verify again.")
        return Verdict(before[0], len(sql.models), rows, found)


def _state(aside: Aside, place: Place) -> tuple[Any, ...]:
    """What every run that does something changes."""
    with aside.looking() as prefix:
        try:
            return aside.connection.execute(
                f"select published_date, published_run_id, revision from {prefix}run_state"
            ).fetchone()
        except place.engine.Error as error:
            if any(symptom in str(error) for symptom in ("no such table", "does not exist")):
                raise UserError(f"The warehouse {place} is none yet: make run builds it.") from None
            raise


def report(verdict: Verdict) -> int:
    """Say what was found; gives 0 where all is identical, else 1."""
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
