"""The pages, in the order of the navigation: each module names what a page needs, and builds its parts."""

from __future__ import annotations

from growth.ui.pages import active_users, data_quality, funnel, health, overview, retention

PAGES = (overview, funnel, retention, active_users, health, data_quality)
