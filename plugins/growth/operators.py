"""What the DAG is made of: stock SQL operators, and what the stock ones lack."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.operators.sql import BaseSQLOperator, SQLExecuteQueryOperator
from airflow.sdk import BaseHook, BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from growth import days, definitions, models
from growth.checks import run_checks
from growth.errors import UserError
from growth.sql import Sql
from growth.verify import report, verify
from growth.warehouse import Refused, heed, land, plain_errors, prepare, split

if TYPE_CHECKING:
    from airflow.sdk import Context

CONNECTION = "growth_warehouse"

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
    engine = BaseHook.get_connection(CONNECTION).conn_type
    if engine != "sqlite":
        raise UserError(f"The connection {CONNECTION} is of type {engine}: the warehouse runs on sqlite.")
    return Sql(definitions.load(), engine)


def days_of(dag_run: Any, params: Any) -> days.Days:
    return days.days_of_run(dag_run.logical_date, dag_run.run_after, params.get("from_date"))


@contextmanager
def for_people() -> Iterator[None]:
    """Errors that a person can mend fail the task with their sentence, at once; a busy warehouse is tried again."""
    try:
        with plain_errors(BaseHook.get_connection(CONNECTION).host):
            yield
    except Refused as error:
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
    "build": _sentence(lambda table: sql().build(table)),
    "publish": _sentence(lambda: sql().publish()),
    "checks": _sentence(lambda layer: ";\n\n".join(f"-- {c.name}\n{c.query}" for c in sql().checks(layer))),
}


def connect() -> Any:
    return BaseHook.get_connection(CONNECTION).get_hook().get_conn()


class ClaimOperator(BaseSensorOperator):
    """Waits until no other run works on the warehouse, then takes it for this run.

    A sensor, because a backfill brings its own number of active runs and waiting must not keep workers busy. Whoever
    holds the warehouse keeps it through kills and retries, for as long as Airflow says that its run is running; when
    that run has ended, or is not known any more, the next one takes over, and what was left in scope with it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=5, timeout=7 * 24 * 3600, **kwargs)

    def poke(self, context: Context) -> bool:
        me = (context["dag"].dag_id, context["run_id"])
        with for_people(), closing(connect()) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'lease'").fetchone():
                prepare(connection, sql())
            for statement in split(sql().begin()):
                connection.execute(statement)
            holder = connection.execute("select dag_id, run_id from lease").fetchone()
            if holder and tuple(holder) != me and context["ti"].get_dagrun_state(*holder) == "running":
                connection.rollback()
                self.log.info("run %s of %s works on the warehouse: waiting for it", holder[1], holder[0])
                return False
            connection.execute("delete from lease")
            connection.execute(
                "insert into lease (only, dag_id, run_id, held_by) values (1, ?, ?, ?)",
                (*me, os.environ.get("SAAS_GROWTH_HELD_BY")),
            )
            connection.commit()
        return True


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

    def execute(self, context: Context) -> None:
        with for_people():
            super().execute(context)
            write_down_seconds(context, self.handler.seconds)


class ChecksOperator(BaseSQLOperator):
    """Runs all checks of a layer, shows the rows that offend, and fails if any check that is no warning found some.

    SQLCheckOperator runs one query and does not say which rows made it fail.
    """

    template_fields = ("layer", "sql", "parameters")
    template_fields_renderers = {"sql": "sql"}

    def __init__(self, *, layer: str, **kwargs: Any) -> None:
        super().__init__(conn_id=CONNECTION, **kwargs)
        self.layer = layer
        self.sql = f"{{{{ checks('{layer}') }}}}"
        self.parameters = dict(RUN_PARAMETERS)

    def execute(self, context: Context) -> None:
        with for_people(), closing(connect()) as connection:
            seconds = run_checks(connection, sql().checks(self.layer), self.parameters)
            write_down_seconds(context, seconds)


def land_batches(**context: Any) -> None:
    """Land the batches of the run's days, from the source that the operator chose."""
    from growth.sources import open_source

    with for_people(), closing(connect()) as connection:
        run_days = days_of(context["dag_run"], context["params"])
        run = {"dag_id": context["dag"].dag_id, "run_id": context["run_id"]}
        prepare(connection, sql())
        landed = land(connection, sql(), open_source(), run_days, run, bool(context["params"].get("rebuild")))
        write_down_seconds(context, landed.sql_seconds)
    print(f"{run_days.first} to {run_days.last}: " + ", ".join(f"{n} rows of {t}" for t, n in landed.rows.items()))


def write_down_seconds(context: Context, seconds: float) -> None:
    """What the task's SQL cost, beside the rows that its script wrote down."""
    step = (context["dag"].dag_id, context["run_id"], context["ti"].task_id)
    with closing(connect()) as connection, connection:
        connection.execute("insert or ignore into run_steps (dag_id, run_id, task_id) values (?, ?, ?)", step)
        connection.execute(
            "update run_steps set sql_seconds = ? where dag_id = ? and run_id = ? and task_id = ?", (seconds, *step)
        )


def verify_warehouse() -> None:
    """Compare every table with a rebuild made aside; fails where a cell differs."""
    with for_people():
        if report(verify(Path(BaseHook.get_connection(CONNECTION).host), sql())):
            raise UserError("What people read is not what a rebuild gives: the cells are in the log above.")


def table_task(table: str) -> ScriptOperator:
    """The task of a table: named like it, with its file's header as its description."""
    return ScriptOperator(task_id=table, sql=f"{{{{ build('{table}') }}}}", doc_md=models.doc(table))
