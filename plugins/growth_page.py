"""The entry "Growth" in Airflow's navigation. The page behind it is the package growth.ui.

Every process of Airflow loads this file, each task's as well: what costs anything is imported by the API server alone,
when it asks for the apps.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

# A picture of its own rather than a file: the navigation asks for it on behalf of people who may not see the page.
# On a ground of its own, since the entry's changes with the theme and when it is chosen.
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%231d4ed8'"
    " stroke-width='2.2' stroke-linecap='round' stroke-linejoin='round'%3E"
    "%3Crect x='1' y='1' width='22' height='22' rx='5' fill='white' stroke='none'/%3E"
    "%3Cpath d='m5 16 5-5 3.5 3L19 7'/%3E%3C/svg%3E"
)


class GrowthPage(AirflowPlugin):
    """An entry of the navigation, and the app that it shows in a frame."""

    name = "growth_page"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Growth",
            # Relative, with a slash at its end: so it is right below any base URL.
            "href": "growth/",
            "url_route": "growth",
            "destination": "nav",
            "nav_top_level": True,
            "icon": _ICON,
        }
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The app. An error here would keep the API server from starting, hence no page and a line in its log."""
        try:
            from growth.ui.app import create_app

            return [{"app": create_app(), "url_prefix": "/growth", "name": "Growth"}]
        except Exception:
            log.exception("The growth page cannot be loaded: install requirements.txt, then restart the API server.")
            return []
