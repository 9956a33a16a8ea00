"""Who may see the page, and who may see e-mail addresses on it."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends

DAG_ID = "saas_growth"

# Airflow answers 401 without a login and 403 without the right to read the DAG.
MAY_READ = Depends(requires_access_dag("GET", param_dag_id=DAG_ID))


def _may_edit(user: GetUserDep) -> bool:
    details = DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID))
    return get_auth_manager().is_authorized_dag(method="PUT", details=details, user=user)


# Users who may edit the DAG could make it show these addresses anyway: they alone see them.
SeesEmails = Annotated[bool, Depends(_may_edit)]
