-- Active users on each day of a period.
select
    activity_date,
    daily_active_users,
    weekly_active_users,
    monthly_active_users,
    stickiness,
    new_users,
    retained_users,
    resurrected_users,
    dormant_users
from fct_active_users
where activity_month between :since and :until
order by activity_date
