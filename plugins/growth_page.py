"""The entry "Growth" in Airflow's navigation; the package growth.ui is the app behind it.

Every process of Airflow loads this file, also that of each task. Only the API server asks for the apps, so whatever
takes time to import is imported then.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

# A data URL, because a file of the app is closed to users who may not read the DAG, and they see the navigation too.
# It has a background, because that of the entry changes with the theme and when the entry is open.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%231d4ed8'"
    " stroke-width='2.2' stroke-linecap='round' stroke-linejoin='round'%3E"
    "%3Crect x='1' y='1' width='22' height='22' rx='5' fill='white' stroke='none'/%3E"
    "%3Cpath d='m5 16 5-5 3.5 3L19 7'/%3E%3C/svg%3E"
)


class GrowthPage(AirflowPlugin):
    """The entry in the navigation, and the app that it shows in a frame."""

    name = "growth_page"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Growth",
            # Relative and with a slash at its end, so that it works below any base URL.
            "href": "growth/",
            "url_route": "growth",
            "destination": "nav",
            "nav_top_level": True,
            "icon": _ICON,
        }
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app. An error here would keep the API server from starting: it is logged, and there is no page."""
        try:
            from growth.ui.app import create_app

            return [{"app": create_app(), "url_prefix": "/growth", "name": "Growth"}]
        except Exception:
            log.exception("The growth page cannot be loaded: install requirements.txt, then restart the API server.")
            return []
