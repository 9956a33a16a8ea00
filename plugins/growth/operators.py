"""What the DAG is made of: stock SQL operators, and what the stock ones lack."""

from __future__ import annotations

import fcntl
import gc
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.sql.operators.sql import BaseSQLOperator, SQLExecuteQueryOperator
from airflow.sdk import BaseHook, BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from growth import days, emails
from growth.engines import Connection, Place, place_of_airflow, transaction
from growth.errors import PassingError, UserError
from growth.language import definitions, models
from growth.language.sql import Sql
from growth.warehouse.checks import ChecksFailed, run_checks
from growth.warehouse.landing import (
    Refused,
    computes_everything,
    drop_obsolete_columns,
    heed,
    land,
    plain_errors,
    prepare,
    run_script,
    split,
)
from growth.warehouse.verify import report, verify

if TYPE_CHECKING:
    from airflow.sdk import Context

CONNECTION = "growth_warehouse"

# "make run" where that runs the tasks, None where a scheduler does.
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
    """The statements for the engine of the connection. Found out in the task, never while the DAG file is parsed."""
    return Sql(definitions.load(), place().kind)


def place() -> Place:
    return place_of_airflow(BaseHook.get_connection(CONNECTION))


def is_whole() -> bool:
    with closing(connect()) as connection:
        return computes_everything(connection)


def days_of(dag_run: Any, params: Any) -> days.Days:
    return days.days_of_run(dag_run.logical_date, dag_run.run_after, params.get("from_date"))


@contextmanager
def for_people() -> Iterator[None]:
    """Errors that a person can mend fail the task with their sentence, at once; what may pass is tried again."""
    try:
        with plain_errors(place()):
            yield
    except PassingError as error:
        raise AirflowException(str(error)) from None
    except UserError as error:
        raise AirflowFailException(str(error)) from None


def _sentence(function: Any) -> Any:
    """For a macro: what a person can mend fails the task at once, with its sentence."""

    def macro(*arguments: Any) -> Any:
        with for_people():
            return function(*arguments)

    return macro


MACROS = {
    "days_of": _sentence(days_of),
    "build": _sentence(lambda table: sql().build(table, is_whole())),
    "publish": _sentence(lambda: sql().publish()),
    "checks": _sentence(lambda layer: ";\n\n".join(f"-- {c.name}\n{c.query}" for c in sql().checks(layer, is_whole()))),
}


def connect() -> Connection:
    """A connection by the provider's own hook, with what the engine needs: waiting, transactions, marks."""
    return place().engine.connect(place())


def run_of(context: Context) -> dict[str, str]:
    return {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}


def free_of_others(connection: Connection, context: Context) -> bool:
    """Whether no other run works on the warehouse, once a run that works no longer has let go of it.

    Whoever holds it keeps it through kills and retries, for as long as Airflow says that it is running. A run that has
    ended, or that Airflow does not know any more, holds it no longer: what it left in scope is for the next one. Nor
    does a queued run: one that was cleared may be queued behind the very run that asks.
    """
    holder = connection.execute("select dag_id, run_id, held_by from lease").fetchone()
    if holder is None or holder[:2] == tuple(run_of(context).values()):
        return True
    dag_id, run_id, held_by = holder
    if context["ti"].get_dr_count(dag_id, run_ids=[run_id], states=["running"]) and not is_abandoned(held_by):
        return False
    run_script(
        connection,
        f"{sql().begin()}\ndelete from lease where dag_id = :dag_id and run_id = :run_id;\ncommit;",
        {"dag_id": dag_id, "run_id": run_id},
    )
    return True


def is_abandoned(held_by: str | None) -> bool:
    """Whether nobody is there who goes on with a run, though Airflow says that it is running.

    It says so for ever of a `make run` that was killed, and of a run in whose middle `make up` was stopped. Each keeps
    a lock for as long as it lives; the one can see that of the other.
    """
    if held_by == HELD_BY:
        return False
    lock = Path(os.environ["AIRFLOW_HOME"]) / ("run.lock" if held_by else "up.lock")
    with suppress(FileNotFoundError, BlockingIOError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def hold(connection: Connection, context: Context) -> None:
    """Take the warehouse for this run, any of whose tasks may be the first: one of an old run is cleared alone.

    Raises Refused while another run works on it.
    """
    free_of_others(connection, context)
    run_script(connection, f"{sql().begin()}\n{sql().hold()}\ncommit;", run_of(context))


class ClaimOperator(BaseSensorOperator):
    """Waits until no other run works on the warehouse, then takes it for this run.

    A sensor, because a backfill brings its own number of active runs and waiting must not keep workers busy.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Airflow takes a task for lost that is due again while its last process is being put away, which may take six
        # seconds: hence the interval. Should it happen nevertheless, waiting must not end in a failed run.
        super().__init__(mode="reschedule", poke_interval=15, timeout=7 * 24 * 3600, retries=100, **kwargs)

    def poke(self, context: Context) -> bool:
        with for_people():
            # A day that has not begun is refused before anybody waits for it.
            days_of(context["dag_run"], context["params"])
            with closing(connect()) as connection:
                if "lease" not in sql().engine.tables(connection):
                    prepare(connection, sql())
                # Refused where somebody was quicker.
                with suppress(Refused):
                    if free_of_others(connection, context):
                        hold(connection, context)
                        connection.execute("update lease set held_by = ?", (HELD_BY,))
                        return True
        self.log.info("Another run works on the warehouse: waiting for its end.")
        return False


class TimedHandler:
    """Heeds refusals after each statement, and knows the seconds between the first and the last."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def __call__(self, cursor: Any) -> None:
        heed(cursor)
        self.moments.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return self.moments[-1] - self.moments[0]


class ScriptOperator(SQLExecuteQueryOperator):
    """A stock operator that stops where a script refuses to go on, and writes down what the SQL cost."""

    def __init__(self, *, sql: str, **kwargs: Any) -> None:
        super().__init__(
            conn_id=CONNECTION,
            sql=sql,
            parameters=dict(RUN_PARAMETERS),
            split_statements=True,
            handler=TimedHandler(),
            requires_result_fetch=True,
            do_xcom_push=False,
            **kwargs,
        )

    def get_db_hook(self) -> Any:
        """The provider's hook, with the connection and the splitter of statements that all else of a task uses."""
        hook = super().get_db_hook()
        hook.get_conn = connect
        hook.split_sql_string = lambda sql, strip_semicolon: split(sql)
        return hook

    def execute(self, context: Context) -> None:
        with for_people():
            with closing(connect()) as connection:
                free_of_others(connection, context)
            self.handler.moments.clear()
            super().execute(context)
            with closing(connect()) as connection:
                write_down_seconds(connection, context, self.handler.seconds)


class PublishOperator(ScriptOperator):
    """Publishes once: a run that was killed when it had, before it could say so, has nothing left to publish."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(sql="{{ publish() }}", **kwargs)

    def execute(self, context: Context) -> None:
        with for_people(), closing(connect()) as connection:
            has_published = connection.execute(
                "select 1 from run_state where published_run_id = :run_id"
                " and not exists (select 1 from lease where dag_id = :dag_id and run_id = :run_id)",
                run_of(context),
            ).fetchone()
        if has_published:
            self.log.info("This run has published already.")
        else:
            super().execute(context)
        with for_people(), closing(connect()) as connection:
            drop_obsolete_columns(connection, sql())
            sql().engine.published(place(), connection)


class ChecksOperator(BaseSQLOperator):
    """Runs all checks of a layer, shows the rows that offend, and fails if any check that is no warning found some.

    SQLCheckOperator runs one query and does not say which rows made it fail.
    """

    template_fields = ("layer", "sql", "parameters")
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}

    def __init__(self, *, layer: str, **kwargs: Any) -> None:
        super().__init__(conn_id=CONNECTION, **kwargs)
        self.layer = layer
        self.sql = f"{{{{ checks('{layer}') }}}}"
        self.parameters = dict(RUN_PARAMETERS)

    def execute(self, context: Context) -> None:
        with for_people(), closing(connect()) as connection:
            hold(connection, context)
            try:
                seconds = run_checks(
                    connection, sql().checks(self.layer, computes_everything(connection)), self.parameters
                )
            except ChecksFailed:
                # Readers are told that the run has failed.
                sql().engine.published(place(), connection)
                raise
            write_down_seconds(connection, context, seconds)


def land_batches(**context: Any) -> None:
    """Land the batches of the run's days, from the source that the operator chose."""
    from growth.sources import open_source

    with for_people(), closing(connect()) as connection:
        run_days = days_of(context["dag_run"], context["params"])
        hold(connection, context)
        prepare(connection, sql())
        rebuild = bool(context["params"].get("rebuild"))
        # What is loaded so far lives until the process ends. Taking it out of garbage collections, which the many rows
        # cause, saves about a quarter of the CPU time of reading files.
        gc.freeze()
        landed = land(connection, sql(), open_source(), run_days, run_of(context), rebuild, emails.chosen())
        write_down_seconds(connection, context, landed.sql_seconds)
    print(f"{run_days.first} to {run_days.last}: " + ", ".join(f"{n} rows of {t}" for t, n in landed.rows.items()))
    if landed.left_out:
        print(f"{landed.left_out} rows of people who were erased have been left out")


def write_down_seconds(connection: Connection, context: Context, seconds: float) -> None:
    """What the task's SQL cost, beside the rows that its script wrote down."""
    step = (*run_of(context).values(), context["ti"].task_id)
    with transaction(connection):
        connection.execute(
            "insert into run_steps (dag_id, run_id, task_id) values (?, ?, ?) on conflict do nothing", step
        )
        connection.execute(
            "update run_steps set sql_seconds = ? where dag_id = ? and run_id = ? and task_id = ?", (seconds, *step)
        )


def verify_warehouse() -> None:
    """Compare every table with a rebuild made aside; fails where a cell differs."""
    with for_people():
        if report(verify(place(), sql())):
            raise UserError("What people read is not what a rebuild gives: the cells are in the log above.")


def erase_people(**context: Any) -> None:
    """Erase the people that the run names; its log says who asked, why, and how much there was."""
    from growth.sources import archives_to_erase, open_source
    from growth.warehouse.erase import asked_for, erase

    params = context["params"]
    with for_people(), closing(connect()) as connection:
        users = asked_for(params["users"])
        landed = connection.execute("select distinct source_name from raw_batches").fetchall()
        archives = archives_to_erase(open_source(), [name for (name,) in landed])
        print(f"Asked for by {params['asked_by']}: {params['reason']}")
        hold(connection, context)
        prepare(connection, sql())
        found = erase(place(), connection, sql(), users, run_of(context))
        for archive in archives:
            archive.forget(found.ids)
    print(f"Erased: {len(users)} people with {len(found.ids)} ids in {found.rows} raw rows")


def table_task(table: str) -> ScriptOperator:
    """The task of a table: named like it, with its file's header as its description."""
    return ScriptOperator(task_id=table, sql=f"{{{{ build('{table}') }}}}", doc_md=models.doc(table))
