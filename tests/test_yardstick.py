"""The yardstick is no straw man: on the invented company it has the numbers that the warehouse has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from worlds import Warehouse
from yardstick import Yardstick

from growth.sources.synthetic.rows import Synthetic

SAME = {
    "funnel": (
        "select cohort_month, visitors, signups, activated, paid from funnel",
        "select cohort_month, visitors, signups, activated, paid from fct_acquisition_funnel",
    ),
    "engagement": (
        "select cohort_month, activity_month, cohort_size, active_users, active_user_days, features_used"
        " from engagement",
        "select cohort_month, activity_month, cohort_size, active_users, active_user_days, features_used"
        " from fct_engagement_cohorts",
    ),
    "health": (
        "select user_id, plan_name, active_days, features_used, round(score, 9), is_at_risk, is_upsell_ready"
        " from health",
        "select user_id, plan_name, active_days_28d, features_used, round(overall_health_score, 9), is_at_risk,"
        " is_upsell_ready from dim_user_health",
    ),
}


def test_the_yardstick_has_the_same_numbers(warehouse: Callable[..., Warehouse], tmp_path: Path) -> None:
    ours = warehouse(Synthetic(scale=0.5))
    theirs = Yardstick(tmp_path / "yardstick.db", ours.path)
    first, last = ours.source.first_day, date(2025, 7, 25)
    ours.run(first, last)
    theirs.run(first, last)
    for day in (last + timedelta(days=n) for n in range(1, 13)):
        ours.run(day)
        theirs.run(day)
    for mart, (mine, published) in SAME.items():
        found = set(theirs.connection.execute(mine))
        assert len(found) > 5
        assert found == set(ours.query(published)), mart
    theirs.connection.close()
