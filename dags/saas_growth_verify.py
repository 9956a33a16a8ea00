"""saas_growth_verify: compares the published tables with a full rebuild from the raw rows. Fails when a cell differs.

It builds all tables aside and compares; the published ones stay as they are. It waits for a run that is under way.
"""

from datetime import datetime

from airflow.sdk import DAG, CronTriggerTimetable, task

from growth.operators import ClaimOperator, verify_warehouse

with DAG(
    dag_id="saas_growth_verify",
    schedule=CronTriggerTimetable("0 6 * * 0", timezone="UTC"),
    start_date=datetime(2024, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["growth"],
):
    ClaimOperator(task_id="claim") >> task(verify_warehouse, task_id="verify")()
