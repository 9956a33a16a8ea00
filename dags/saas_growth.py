"""saas_growth: from raw users, events and subscriptions to the tables that a growth team reads every morning.

A run covers the day of its logical date (without one, the last whole day before it); `from_date` stretches it
backwards. Marts are built aside, checked, and published together: a failed check leaves yesterday's in place.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, chain, task

from growth.language.tables import LAYERS, reads, tables_of
from growth.operators import MACROS, ChecksOperator, ClaimOperator, PublishOperator, TableOperator, land_batches

with DAG(
    dag_id="saas_growth",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2000, 1, 1),
    catchup=False,
    default_args={"retries": 5, "retry_delay": timedelta(seconds=30)},
    user_defined_macros=MACROS,
    params={
        "from_date": Param(
            None, type=["null", "string"], format="date", description="First day, if the run covers more than one"
        ),
        "rebuild": Param(False, type="boolean", description="Compute all rows of all tables"),
    },
    doc_md=__doc__,
    tags=["growth"],
):
    # One run at a time works on the warehouse. max_active_runs cannot ensure that: a backfill overrides it, and a run
    # triggered for next year, which Airflow keeps running until then, would block all others.
    claim = ClaimOperator(task_id="claim")

    # raw: what arrived on the run's days, from the source that SAAS_GROWTH_SOURCE names
    generate = task(land_batches, task_id="generate")()
    chain(claim, generate)

    # identity: who is behind the ids
    # staging: one raw table in, one clean table out; what does not count goes to the rejects
    # intermediate: where the words of the dictionary become columns
    # marts: what people read, built aside
    before = generate
    for layer in LAYERS:
        tables = {table: TableOperator(table=table) for table in tables_of(layer)}
        checks = ChecksOperator(layer=layer)
        for table, task_of_table in tables.items():
            # A table comes after those of its layer that it reads, the first ones after the layer above.
            chain([tables[other] for other in reads(table) if other in tables] or before, task_of_table, checks)
        before = checks

    chain(before, PublishOperator(task_id="publish"))
