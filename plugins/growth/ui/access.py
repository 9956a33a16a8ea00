"""Who may see the page, and who may see e-mail addresses on it."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends

DAG_ID = "saas_growth"

# Without a login 401, without the right to read the DAG 403.
MAY_READ = Depends(requires_access_dag("GET", param_dag_id=DAG_ID))


def _may_edit(user: GetUserDep) -> bool:
    details = DagDetails(id=DAG_ID, team_name=DagModel.get_team_name(DAG_ID))
    return get_auth_manager().is_authorized_dag(method="PUT", details=details, user=user)


# Personal data are for those who may change the DAG, and with it what it does with them.
SeesEmails = Annotated[bool, Depends(_may_edit)]
