"""The pages, in the order of their entries. Each is a module with what it needs and how it is built."""

from __future__ import annotations

from growth.ui.pages import active_users, data_quality, funnel, health, overview, retention

PAGES = (overview, funnel, retention, active_users, health, data_quality)
