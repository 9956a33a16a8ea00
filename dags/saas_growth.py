"""saas_growth: from raw users, events and subscriptions to what a growth team reads every morning.

A run covers the day of its logical date (without one, the last whole day before it); `from_date` stretches it
backwards. Marts are built aside, checked, and published together: a red check leaves yesterday's in place.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, chain, task

from growth.operators import MACROS, ChecksOperator, ClaimOperator, PublishOperator, land_batches, table_task

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
        "rebuild": Param(False, type="boolean", description="Compute everything again, whatever came or went"),
    },
    doc_md=__doc__,
    tags=["growth"],
):
    # One run at a time works on the warehouse, however many there are. Not by max_active_runs: a backfill overrules it,
    # and a run triggered for next year, which Airflow keeps running till then, would hold up all others.
    claim = ClaimOperator(task_id="claim")

    # raw: what arrived on the run's days, from the source that SAAS_GROWTH_SOURCE names
    generate = task(land_batches, task_id="generate")()

    # identity: who is behind the ids
    identity = [table_task(t) for t in ("int_id_links", "int_identities")]
    check_identity = ChecksOperator(task_id="check_identity", layer="identity")

    # staging: one raw table in, one clean table out; what does not count goes to the rejects
    staging = [table_task(t) for t in ("stg_users", "stg_events", "stg_subscriptions", "rejects")]
    check_staging = ChecksOperator(task_id="check_staging", layer="staging")

    # intermediate: where the words of the dictionary become columns
    intermediate = [table_task(t) for t in ("int_funnel_steps", "int_user_engagement", "int_feature_usage")]
    totals = table_task("int_user_engagement_totals")
    check_intermediate = ChecksOperator(task_id="check_intermediate", layer="intermediate")

    # marts: what people read, built aside
    marts = [
        table_task(t)
        for t in (
            "fct_acquisition_funnel",
            "fct_acquisition_funnel_by_channel",
            "fct_engagement_cohorts",
            "fct_active_users",
            "dim_user_health",
        )
    ]
    check_marts = ChecksOperator(task_id="check_marts", layer="marts")

    publish = PublishOperator(task_id="publish")

    chain(claim, generate, *identity, check_identity, staging, check_staging, intermediate, totals, check_intermediate)
    chain(check_intermediate, marts, check_marts, publish)
