"""What the warehouse remembers of its tables: by which definition each was computed, and which are due as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from growth.engines import Connection
from growth.errors import UserError
from growth.language.sql import Sql
from growth.language.tables import reads

NEW_DEFINITION = "new definition"
REBUILD = "rebuild"


def whole_tables(connection: Connection) -> dict[str, str]:
    """The tables of which all rows have to be computed, with the reason."""
    query = "select table_name, whole_because from work_table_state where whole_because is not null"
    return dict(connection.execute(query).fetchall())


def mark_whole(connection: Connection, tables: Iterable[str], reason: str) -> None:
    """From now on runs compute all rows of these tables, until one has published."""
    connection.executemany(
        "update work_table_state set whole_because = ? where table_name = ?", [(reason, table) for table in tables]
    )


def settle(connection: Connection, sql: Sql, rebuild: bool = False) -> dict[str, str]:
    """Decide which tables a run computes as a whole, and give them with the reason.

    A table whose fingerprint is not that of the last landing is one, and so is each that reads one: it does not learn
    from a whole table which rows have changed.
    """
    known = dict(connection.execute("select table_name, fingerprint from work_table_state").fetchall())
    reasons = whole_tables(connection)
    for name in sql.tables:
        if known.get(name) not in (None, sql.fingerprint(name)):
            reasons[name] = NEW_DEFINITION
        for source in reads(name):
            # A definition explains more than a rebuild, and so it is the reason that counts.
            if source in reasons and reasons.get(name) != NEW_DEFINITION:
                reasons[name] = reasons[source]
        if rebuild:
            reasons.setdefault(name, REBUILD)
    connection.executemany(
        "update work_table_state set fingerprint = ?, whole_because = ? where table_name = ?",
        [(sql.fingerprint(name), reasons.get(name), name) for name in sql.tables],
    )
    return {name: reasons[name] for name in sql.tables if name in reasons}


def definitions_have_changed(connection: Connection, sql: Sql, of: Callable[[str], str] = str) -> bool:
    """Whether tables were published by other definitions than there are now; `of` names the warehouse's tables."""
    published = dict(
        connection.execute(f"select table_name, published_fingerprint from {of('work_table_state')}").fetchall()
    )
    return any(published.get(name) != sql.fingerprint(name) for name in sql.tables)


def refuse_unpublished(connection: Connection, sql: Sql, where: str, of: Callable[[str], str] = str) -> None:
    """Raise UserError where the warehouse shows anything but what its raw rows give by the definitions."""
    (published,) = connection.execute(f"select published_date from {of('run_state')}").fetchone()
    days, first, last = connection.execute(
        f"select count(*), min(batch_date), max(batch_date) from {of('work_scope_batches')}"
    ).fetchone()
    if days or published is None:
        raise UserError(
            f"The warehouse {where} holds batches that no run has published ({first} to {last}):"
            " let the run end, or run again, and try then."
        )
    if definitions_have_changed(connection, sql, of):
        raise UserError("The definitions have changed since the last run: run again, and try then.")
