"""saas_growth_erase: people who asked to be forgotten are gone from every table, and all numbers are without them.

Who asked and why stands in the log of the task. It waits for a run that is under way.
"""

from datetime import datetime

from airflow.sdk import DAG, Param, task

from growth.operators import ClaimOperator, erase_people

with DAG(
    dag_id="saas_growth_erase",
    schedule=None,
    start_date=datetime(2000, 1, 1),
    max_active_runs=1,
    params={
        "users": Param(type="string", minLength=1, description="Who is erased: a user id, several with commas"),
        "asked_by": Param(type="string", minLength=1, description="Who asks for it"),
        "reason": Param(type="string", minLength=1, description="Why"),
    },
    doc_md=__doc__,
    tags=["growth"],
):
    ClaimOperator(task_id="claim") >> task(erase_people, task_id="erase")()
