"""saas_growth_erase: erases people from every table, and computes all numbers without them.

The log of the task says who asked for it and why. It waits for a run that is under way.
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
        "users": Param(
            type="string", minLength=1, description="Who is erased: a user id, or several separated by commas"
        ),
        "asked_by": Param(type="string", minLength=1, description="Who asks for it"),
        "reason": Param(type="string", minLength=1, description="Why"),
    },
    doc_md=__doc__,
    tags=["growth"],
):
    ClaimOperator(task_id="claim") >> task(erase_people, task_id="erase")()
