"""What the DAGs are made of: operators on the common-sql provider's base class, with one hook underneath."""

from __future__ import annotations

import fcntl
import gc
import os
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import BaseHook, BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from growth import days, emails
from growth.engines import Connection, Place, place_of_airflow, transaction
from growth.errors import PassingError, UserError
from growth.language import definitions
from growth.language.sql import Check, Sql
from growth.language.tables import doc, tables_of
from growth.warehouse.checks import ChecksFailed, run_checks
from growth.warehouse.landing import land
from growth.warehouse.schema import drop_obsolete_columns, prepare
from growth.warehouse.scripts import Refused, exclusive_transaction, plain_errors, raise_on_refusal, run_statements
from growth.warehouse.state import whole_tables

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

CONNECTION = "growth_warehouse"

# "make run" where that command runs the tasks, None where a scheduler does.
HELD_BY = os.environ.get("SAAS_GROWTH_HELD_BY")

# Bound by the database in every statement that names them; rendered for each run.
RUN_PARAMETERS = {
    "dag_id": "{{ dag.dag_id }}",
    "run_id": "{{ run_id }}",
    "first_day": "{{ days_of(dag_run, params).first }}",
    "last_day": "{{ days_of(dag_run, params).last }}",
}


@cache
def sql() -> Sql:
    """The statements for the engine of the connection. Looked up in the task, never while the DAG file is parsed."""
    return Sql(definitions.load(), place().kind)


def place() -> Place:
    return place_of_airflow(BaseHook.get_connection(CONNECTION))


class WarehouseHook(DbApiHook):
    """Opens the connection with the provider's hook, and adds what the engine needs: timeouts, transactions, marks."""

    conn_name_attr = "warehouse_conn_id"
    default_conn_name = CONNECTION

    def get_conn(self) -> Connection:
        return place().engine.connect(place())


def connect() -> Connection:
    return WarehouseHook().get_conn()


def days_of(dag_run: Any, params: Any) -> days.Days:
    return days.days_of_run(dag_run.logical_date, dag_run.run_after, params.get("from_date"))


@contextmanager
def for_people() -> Iterator[None]:
    """Errors that a person can correct fail the task at once, with their sentence; what may pass is retried."""
    try:
        with plain_errors(place()):
            yield
    except PassingError as error:
        raise AirflowException(str(error)) from None
    except UserError as error:
        raise AirflowFailException(str(error)) from None


def _sentence(function: Any) -> Any:
    """A macro whose errors fail the task like those of its execution."""

    def macro(*arguments: Any) -> Any:
        with for_people():
            return function(*arguments)

    return macro


MACROS = {"days_of": _sentence(days_of)}


def run_of(context: Context) -> dict[str, str]:
    return {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}


def free_of_others(connection: Connection, context: Context) -> bool:
    """Whether no other run holds the lease of the warehouse. The lease of a run that has ended is released.

    A run keeps its lease through kills and retries, for as long as Airflow says that it is running. A run that has
    ended, or that Airflow does not know, loses it: the next run computes what that one left in scope. A queued run
    loses it, too: a cleared run may be queued behind the very run that asks.
    """
    holder = connection.execute("select dag_id, run_id, held_by from work_lease").fetchone()
    if holder is None or holder[:2] == tuple(run_of(context).values()):
        return True
    dag_id, run_id, held_by = holder
    if context["ti"].get_dr_count(dag_id, run_ids=[run_id], states=["running"]) and not is_abandoned(held_by):
        return False
    with exclusive_transaction(connection, sql()):
        connection.execute("delete from work_lease where dag_id = ? and run_id = ?", (dag_id, run_id))
    return True


def is_abandoned(held_by: str | None) -> bool:
    """Whether no process goes on with a run, though Airflow says that it is running.

    Airflow says so forever of a `make run` that was killed, and of a run that was under way when `make up` stopped.
    Each of the two commands holds a file lock while it lives, which the other one can see.
    """
    if held_by == HELD_BY:
        return False
    lock = Path(os.environ["AIRFLOW_HOME"]) / ("run.lock" if held_by else "up.lock")
    with suppress(FileNotFoundError, BlockingIOError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def acquire_lease(connection: Connection, context: Context) -> None:
    """Take the warehouse for this run. Any of its tasks may be the first to ask: one of an old run is cleared alone.

    Raises Refused while another run works on it.
    """
    free_of_others(connection, context)
    with exclusive_transaction(connection, sql()):
        for statement in sql().acquire_lease():
            raise_on_refusal(connection.execute(statement, run_of(context)))


class ClaimOperator(BaseSensorOperator):
    """Waits until no other run holds the lease of the warehouse, then takes it.

    A sensor, because a backfill brings its own number of active runs and waiting must not keep workers busy.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Airflow loses a task that is due again while its last process is still being reaped, which may take six
        # seconds: hence the interval. The retries are for the case that it happens nevertheless.
        super().__init__(mode="reschedule", poke_interval=15, timeout=7 * 24 * 3600, retries=100, **kwargs)

    def poke(self, context: Context) -> bool:
        with for_people():
            # A day that has not begun is refused before the run waits for others.
            days_of(context["dag_run"], context["params"])
            with closing(connect()) as connection:
                if "work_lease" not in sql().engine.tables(connection):
                    prepare(connection, sql())
                # Refused where another run was quicker.
                with suppress(Refused):
                    if free_of_others(connection, context):
                        acquire_lease(connection, context)
                        connection.execute("update work_lease set held_by = ?", (HELD_BY,))
                        return True
        self.log.info("Another run works on the warehouse: waiting for its end.")
        return False


class WarehouseOperator(BaseSQLOperator):
    """An operator of the common-sql provider that runs statements of this project in one transaction of its own.

    SQLExecuteQueryOperator takes a script, which its hook splits by a parser. Here statements are rendered as a list,
    and a statement may refuse to go on.
    """

    template_fields = ("sql", "parameters")
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(conn_id=CONNECTION, **kwargs)
        self.sql: list[str] = []
        self.parameters = dict(RUN_PARAMETERS)

    @cached_property
    def _hook(self) -> WarehouseHook:
        return WarehouseHook()

    def statements(self, whole: Container[str]) -> list[str]:
        """What the task runs; `whole` are the tables of which all rows are computed."""
        raise NotImplementedError

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        super().render_template_fields(context, jinja_env)
        with for_people(), closing(self._hook.get_conn()) as connection:
            self.sql = self.statements(whole_tables(connection))

    def execute(self, context: Context) -> None:
        with for_people(), closing(self._hook.get_conn()) as connection:
            free_of_others(connection, context)
            seconds = run_statements(connection, self.sql, self.parameters)
            write_down_seconds(connection, context, seconds)


class TableOperator(WarehouseOperator):
    """Computes a table, whose name the task has."""

    def __init__(self, *, table: str, **kwargs: Any) -> None:
        super().__init__(task_id=table, doc_md=doc(table), **kwargs)
        self.table = table

    def statements(self, whole: Container[str]) -> list[str]:
        return sql().build(self.table, self.table in whole)


class PublishOperator(WarehouseOperator):
    """Publishes once: a run that was killed after its publish, before it could say so, has nothing left to publish."""

    def statements(self, whole: Container[str]) -> list[str]:
        return sql().publish()

    def execute(self, context: Context) -> None:
        with for_people(), closing(self._hook.get_conn()) as connection:
            has_published = connection.execute(
                "select 1 from run_state where published_run_id = :run_id"
                " and not exists (select 1 from work_lease where dag_id = :dag_id and run_id = :run_id)",
                run_of(context),
            ).fetchone()
        if has_published:
            self.log.info("This run has published already.")
        else:
            super().execute(context)
        with for_people(), closing(self._hook.get_conn()) as connection:
            drop_obsolete_columns(connection, sql())
            sql().engine.refresh_readers(place(), connection)


class ChecksOperator(WarehouseOperator):
    """Runs all checks of a layer, shows the rows that they find, and fails if any but a warning found some.

    SQLCheckOperator runs one query and does not say which rows made it fail.
    """

    def __init__(self, *, layer: str, **kwargs: Any) -> None:
        super().__init__(task_id=f"check_{layer}", **kwargs)
        self.layer = layer
        self.checks: list[Check] = []

    def statements(self, whole: Container[str]) -> list[str]:
        self.checks = [check for table in tables_of(self.layer) for check in sql().checks(table, table in whole)]
        return [f"-- {check.name}\n{check.query}" for check in self.checks]

    def execute(self, context: Context) -> None:
        with for_people(), closing(self._hook.get_conn()) as connection:
            acquire_lease(connection, context)
            try:
                seconds = run_checks(connection, self.checks, self.parameters)
            except ChecksFailed:
                # Readers are told that the run has failed.
                sql().engine.refresh_readers(place(), connection)
                raise
            write_down_seconds(connection, context, seconds)


def land_batches(**context: Any) -> None:
    """Land the batches of the run's days, from the source that the operator chose."""
    from growth.sources import open_source

    with for_people(), closing(connect()) as connection:
        run_days = days_of(context["dag_run"], context["params"])
        acquire_lease(connection, context)
        prepare(connection, sql())
        rebuild = bool(context["params"].get("rebuild"))
        # What is loaded so far lives until the process ends. Taking it out of garbage collections, which the many rows
        # cause, saves about a quarter of the CPU time of reading files.
        gc.freeze()
        landed = land(connection, sql(), open_source(), run_days, run_of(context), rebuild, emails.chosen())
        write_down_seconds(connection, context, landed.sql_seconds)
    for reason in dict.fromkeys(landed.whole.values()):
        print(f"Computing all rows ({reason}) of " + ", ".join(t for t, why in landed.whole.items() if why == reason))
    print(f"{run_days.first} to {run_days.last}: " + ", ".join(f"{n} rows of {t}" for t, n in landed.rows.items()))
    if landed.left_out:
        print(f"{landed.left_out} rows of people who were erased have been left out")


def write_down_seconds(connection: Connection, context: Context, seconds: float) -> None:
    """Write the seconds of the task's SQL beside the row counts that its statements have written."""
    step = (*run_of(context).values(), context["ti"].task_id)
    with transaction(connection):
        connection.execute(
            "insert into run_steps (dag_id, run_id, task_id) values (?, ?, ?) on conflict do nothing", step
        )
        connection.execute(
            "update run_steps set sql_seconds = ? where dag_id = ? and run_id = ? and task_id = ?", (seconds, *step)
        )


def verify_warehouse() -> None:
    """Compare every table with a rebuild aside; fails where a cell differs."""
    from growth.warehouse.verify import report, verify

    with for_people():
        if report(verify(place(), sql())):
            raise UserError("The published tables differ from a rebuild: the cells are in the log above.")


def erase_people(**context: Any) -> dict[str, int]:
    """Erase the people that the run names and give how much there was; the log says who asked and why."""
    from growth.sources import archives_to_erase, open_source
    from growth.warehouse.erase import asked_for, erase

    params = context["params"]
    with for_people(), closing(connect()) as connection:
        users = asked_for(params["users"])
        landed = connection.execute("select distinct source_name from raw_batches").fetchall()
        archives = archives_to_erase(open_source(), [name for (name,) in landed])
        print(f"Asked for by {params['asked_by']}: {params['reason']}")
        acquire_lease(connection, context)
        prepare(connection, sql())
        found = erase(place(), connection, sql(), users, run_of(context))
        for archive in archives:
            archive.forget(found.ids)
    return {"people": len(users), "ids": len(found.ids), "raw_rows": found.rows}
