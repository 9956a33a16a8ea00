"""The warehouse as a database: connecting, running scripts, making tables, landing batches."""

from __future__ import annotations

import hashlib
import secrets
import time
from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from growth.days import Days
from growth.emails import Protect, keep
from growth.engines import Connection, Engine, Place
from growth.errors import PassingError, UserError
from growth.language.models import Model
from growth.language.raw import ARRIVAL_COLUMNS, RAW_COLUMNS, UNMAPPED, UNMAPPED_COLUMNS
from growth.language.sql import Sql
from growth.sources.contract import Source

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = date(1970, 1, 1)
# What a landing replaces, where the earlier rows of an id count as well as the latest: a row that is gone for good
# leaves no other trace.
REPLACED = {
    "replaced_users": ("raw_users", "user_id"),
    "replaced_subscriptions": ("raw_subscriptions", "subscription_id"),
}

_CALENDAR = ("month", "month_number", "first_day", "last_day")
UNMAPPED_LENGTH = 200
_CALENDAR_YEARS = range(1990, 2101)


class Landed(NamedTuple):
    """What a landing did."""

    rows: dict[str, int]
    left_out: int
    """Rows of people who were erased."""
    sql_seconds: float


class Erased:
    """The ids of people who were erased, as salted hashes: enough to keep their rows out, of no use to find them."""

    # What each column of a raw table names.
    KINDS: ClassVar[dict[str, str]] = {
        "user_id": "id",
        "other_user_id": "id",
        "anonymous_id": "anonymous",
        "other_anonymous_id": "anonymous",
        "event_id": "event",
        "subscription_id": "subscription",
    }

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.execute("select kind, digest from erased").fetchall()
        self._salt = next((digest for kind, digest in rows if kind == "salt"), None)
        self._digests = {digest for _, digest in rows}

    def _digest(self, kind: str, name: str) -> str:
        # A device's id has the name that it has in int_identities.
        kind, name = ("id", f"anonymous:{name.strip()}") if kind == "anonymous" else (kind, name.strip())
        return hashlib.sha256(f"{self._salt} {kind} {name}".encode()).hexdigest()

    def knows(self, kind: str, name: str) -> bool:
        return self._salt is not None and self._digest(kind, name) in self._digests

    def remember(self, names: Iterable[tuple[str, str]]) -> None:
        if self._salt is None:
            self._salt = secrets.token_hex(16)
            self._connection.execute("insert into erased (kind, digest) values ('salt', ?)", (self._salt,))
        self._connection.executemany(
            "insert into erased (kind, digest) values (?, ?) on conflict do nothing",
            [(kind, self._digest(kind, name)) for kind, name in names],
        )

    def without(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that name nobody who was erased."""
        if self._salt is None:
            return frame
        is_kept = ~frame["batch_date"].isna()
        for column in frame.columns.intersection(list(self.KINDS)):
            erased = {n for n in frame[column].dropna().unique() if self.knows(self.KINDS[column], n)}
            is_kept &= ~frame[column].isin(erased)
        return frame[is_kept]


class Refused(PassingError):
    """A script found that it may not go on; what it had done so far in its transaction is undone."""


def heed(cursor: Any) -> None:
    """Handler for each statement of a script: a statement with a column `refusal` that gives a row stops it."""
    if cursor.description and cursor.description[0][0] == "refusal" and (row := cursor.fetchone()):
        raise Refused(row[0])


@lru_cache(maxsize=256)
def split(script: str) -> list[str]:
    """The statements of a script, which may be of any length: Airflow's own way of splitting refuses long ones."""
    from sqlparse import lexer, tokens
    from sqlparse.engine import StatementSplitter

    said = ((kind, "\n" if kind in tokens.Comment else text) for kind, text in lexer.tokenize(script))
    statements = (str(statement).strip().removesuffix(";") for statement in StatementSplitter().process(said))
    return [statement for statement in statements if statement]


def run_script(connection: Connection, script: str, parameters: Mapping[str, object]) -> float:
    """Run a script as SQLExecuteQueryOperator does, and give the seconds it took. An error undoes its transaction."""
    statements = split(script)
    started = time.perf_counter()
    with closing(connection.cursor()) as cursor:
        try:
            for statement in statements:
                cursor.execute(statement, parameters)
                heed(cursor)
        except BaseException:
            connection.rollback()
            raise
    return time.perf_counter() - started


@contextmanager
def connecting(place: Place) -> Iterator[Connection]:
    """A connection to write with where no hook of Airflow opens one; what goes wrong is one sentence."""
    with plain_errors(place), closing(place.engine.connect(place)) as connection:
        yield connection


@contextmanager
def plain_errors(place: Place) -> Iterator[None]:
    """What the database says of a warehouse that it cannot use, as one sentence."""
    engine = place.engine
    try:
        yield
    except engine.Error as error:
        said = " ".join(str(error).split())
        for symptom, sentence in engine.SYMPTOMS.items():
            if symptom in said:
                kind = PassingError if symptom in engine.PASSING else UserError
                raise kind(f"The warehouse {place} {sentence.format(said=said)}.") from None
        raise


def prepare(connection: Connection, sql: Sql) -> None:
    """Make what is missing of the warehouse, and bring tables of an earlier version into shape.

    One transaction. Nothing that people read loses a row or a column: one that a mart gains is empty until the next
    publish, one that it no longer has goes after it.
    """
    engine = sql.engine
    engine.home(connection)
    known = "run_state" in engine.tables(connection)
    if known:
        (prepared,) = connection.execute("select prepared_hash from run_state").fetchone() or (None,)
        if prepared == sql.definitions_hash:
            return
    with _alone(connection, sql):
        for statement in split(sql.drop_views()):
            connection.execute(statement)
        if known:
            for table, columns in RAW_COLUMNS.items():
                _gain_columns(connection, sql, table, dict.fromkeys(columns, "text"))
            for model in sql.models:
                _reshape(connection, sql, model)
        for statement in split(sql.create()) + split(sql.views()):
            connection.execute(statement)
        if not connection.execute("select 1 from calendar_months limit 1").fetchone():
            engine.load(connection, "calendar_months", _CALENDAR, list(zip(*_months(), strict=True)))
        # What tables of another shape or meaning held has to be computed again, whichever run comes next.
        connection.execute("update run_state set prepared_hash = ?, everything = 1", (sql.definitions_hash,))


@contextmanager
def _alone(connection: Connection, sql: Sql) -> Iterator[None]:
    """A transaction beside which nobody else writes."""
    try:
        for statement in split(sql.begin()):
            connection.execute(statement)
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _gain_columns(connection: Connection, sql: Sql, table: str, types: Mapping[str, str]) -> None:
    """Columns that a table has not, if there is the table."""
    present = sql.engine.columns(connection, table)
    for column, kind in types.items() if present else []:
        if column not in present:
            connection.execute(f"alter table {table} add column {column} {sql.type_of(kind)}")


def _reshape(connection: Connection, sql: Sql, model: Model) -> None:
    """What people read gains columns; all else is made anew where its shape is another, and computed again."""
    for name in ("scope__", "changed__", "building__"):
        connection.execute(f"drop table if exists {name}{model.name}")
    if model.layer == "marts":
        _gain_columns(connection, sql, model.name, model.types)
    elif sql.engine.columns(connection, model.name) != list(model.columns) or (
        sql.engine.key(connection, model.name) or list(model.key)
    ) != list(model.key):
        connection.execute(f"drop table if exists {model.name}")
    else:
        for index in sql.engine.indexes(connection, model.name):
            # Each row would go on paying for it.
            if f" {index} " not in sql.create():
                connection.execute(f"drop index {index}")


def drop_obsolete_columns(connection: Connection, sql: Sql) -> None:
    """Take away what marts no longer have, once what people read has been published without it."""
    obsolete = [(m.name, c) for m in sql.marts for c in sql.engine.columns(connection, m.name) if c not in m.columns]
    (published,) = connection.execute("select published_hash from run_state").fetchone()
    if obsolete and published == sql.definitions_hash:
        with _alone(connection, sql):
            for table, column in obsolete:
                connection.execute(f"alter table {table} drop column {column}")


def _months() -> Iterator[tuple[str, int, int, int]]:
    for year in _CALENDAR_YEARS:
        for month in range(1, 13):
            first = (date(year, month, 1) - _EPOCH).days
            yield f"{year}-{month:02}-01", year * 12 + month, first, first + monthrange(year, month)[1] - 1


def land(
    connection: Connection,
    sql: Sql,
    source: Source,
    days: Days,
    run: Mapping[str, object],
    rebuild: bool = False,
    protect: Protect = keep,
) -> Landed:
    """Put the batches of some days into the raw tables, replacing what they held; `protect` sees each e-mail address.

    One transaction, which also puts the batches in scope: whatever goes wrong, the raw tables hold whole batches.
    """
    landed = dict.fromkeys(RAW_COLUMNS, 0)
    left_out = 0
    between = (days.first.isoformat(), days.last.isoformat())
    refuse_other_source(connection, source)
    _refuse_lost_archive(connection, source)
    seconds = 0.0
    # What takes long, such as asking an API, is over before others have to wait.
    pieces = iter(source.pieces(*days))
    first = next(pieces, {})
    with _alone(connection, sql):
        for statement in split(sql.hold()):
            heed(connection.execute(statement, run))
        for table, (raw, key) in REPLACED.items():
            connection.execute(
                f"insert into {table} ({key})"
                f" select {key} from {raw} where batch_date between ? and ? and {key} is not null"
                f" except select {key} from {table}",
                between,
            )
        for table in (*RAW_COLUMNS, UNMAPPED, "raw_batches"):
            connection.execute(f"delete from {table} where batch_date between ? and ?", between)
        dates = [(days.first + timedelta(days=n)).isoformat() for n in range((days.last - days.first).days + 1)]
        rows: Counter[tuple[str, str]] = Counter()
        erased = Erased(connection)
        for piece in chain([first], pieces):
            started = time.perf_counter()
            for table, arrived in piece.items():
                if table == UNMAPPED:
                    _count_unmapped(connection, arrived)
                else:
                    frame = erased.without(arrived)
                    _land_frame(connection, sql.engine, table, frame, protect)
                    landed[table] += len(frame)
                    rows.update({(day, table): n for day, n in frame["batch_date"].value_counts().items()})
                    left_out += len(arrived) - len(frame)
            seconds += time.perf_counter() - started
        started = time.perf_counter()
        batches = [(day, table, source.name, int(rows[day, table])) for day in dates for table in RAW_COLUMNS]
        sql.engine.load(
            connection,
            "raw_batches",
            ("batch_date", "table_name", "source_name", "rows_landed"),
            list(zip(*batches, strict=True)),
        )
        sql.engine.loaded(connection, landed)
        _put_in_scope(connection, "batch_date between ? and ?", between)
        _move_on(connection, sql.definitions_hash, rebuild)
        seconds += time.perf_counter() - started
    return Landed(landed, left_out, seconds)


def computes_everything(connection: Connection) -> bool:
    """Whether a run computes whole tables, as a first one does, and one after a change of the definitions."""
    return connection.execute("select everything from run_state").fetchone() == (1,)


def refuse_other_source(connection: Connection, source: Source) -> None:
    """A warehouse holds the batches of one source: two would mix their people."""
    (other,) = connection.execute(
        "select max(source_name) from raw_batches where source_name <> ?", (source.name,)
    ).fetchone()
    if other:
        raise UserError(
            f"The warehouse holds batches of source {other}, this run would land {source.name}:"
            " name another file with WAREHOUSE=, or go back to that source."
        )


def _refuse_lost_archive(connection: Connection, source: Source) -> None:
    """A source whose archive this worker does not have would begin anew, with other batches."""
    landed = "select 1 from raw_batches where table_name = ? and rows_landed > 0 limit 1"
    for archive in source.archives:
        if archive.is_empty and connection.execute(landed, (archive.table,)).fetchone():
            raise UserError(
                f"The source {archive.source} has landed before, but its archive on this worker is empty:"
                f" {archive.remedy}."
            )


def _land_frame(connection: Connection, engine: Engine, table: str, frame: pd.DataFrame, protect: Protect) -> None:
    names = (*ARRIVAL_COLUMNS, *RAW_COLUMNS[table])
    values = frame.loc[:, list(names)].astype(object)
    columns = {name: values[name].where(values[name].notna(), None) for name in names}
    if "email" in columns:
        columns["email"] = map(protect, columns["email"])
    engine.load(connection, table, names, list(columns.values()))


def _put_in_scope(connection: Connection, where: str, parameters: tuple[str, ...] = ()) -> None:
    connection.execute(
        "insert into scope_batches (batch_date)"
        f" select distinct batch_date from raw_batches where {where} except select batch_date from scope_batches",
        parameters,
    )


def _count_unmapped(connection: Connection, frame: pd.DataFrame) -> None:
    names = ", ".join(UNMAPPED_COLUMNS)
    # As much of a name as anybody reads: it is part of a key, which may not be of any length.
    frame = frame.assign(event_name=frame["event_name"].str.slice(0, UNMAPPED_LENGTH))
    connection.executemany(
        f"insert into {UNMAPPED} ({names}) values (?, ?, ?, ?)"
        " on conflict (batch_date, source_file, event_name)"
        f" do update set rows_seen = {UNMAPPED}.rows_seen + excluded.rows_seen",
        frame.loc[:, list(UNMAPPED_COLUMNS)].astype(object).itertuples(index=False, name=None),
    )


def _move_on(connection: Connection, definitions_hash: str, rebuild: bool) -> None:
    """The as-of day is the latest day landed; other definitions than those of the last landing put all in scope."""
    connection.execute(
        "update run_state set everything = case when ? or definitions_hash <> ? then 1 else everything end,"
        " definitions_hash = ?",
        (rebuild, definitions_hash, definitions_hash),
    )
    _put_in_scope(connection, "(select everything from run_state) = 1")
    (as_of,) = connection.execute("select max(batch_date) from raw_batches").fetchone()
    day = date.fromisoformat(as_of)
    connection.execute(
        "update run_state set as_of_date = ?, as_of_day = ?, as_of_month = ?",
        (as_of, (day - _EPOCH).days, day.replace(day=1).isoformat()),
    )
