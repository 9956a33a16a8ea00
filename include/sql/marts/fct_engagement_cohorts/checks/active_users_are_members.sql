-- No cell has more active users than members, more active days than observed days, or a rate outside 0 to 1.
select cohort_month, activity_month, cohort_size, active_users, active_user_days, days_observed, retention_rate, stickiness
from work_building__fct_engagement_cohorts
where active_users > cohort_size
    or active_users < 0
    or active_user_days < active_users
    or active_user_days > active_users * days_observed
    or retention_rate not between 0 and 1
    or stickiness not between 0 and 1
    or features_used > active_users * {{ definitions.features.names | length }}
