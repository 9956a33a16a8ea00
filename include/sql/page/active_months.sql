-- Active users in each calendar month. A user is in one cohort, so the users of the cohorts add up.
select
    activity_month,
    sum(active_users) as active_users,
    sum(case when months_since_signup = 0 then active_users else 0 end) as new_users,
    sum(case when months_since_signup = 0 then cohort_size else 0 end) as signups,
    sum(cohort_size) as users,
    {{ db.ratio('sum(active_user_days)', 'max(days_observed)') }} as avg_dau,
    {{ db.ratio('sum(active_user_days)', 'max(days_observed) * sum(active_users)') }} as stickiness,
    min(is_complete) as is_complete
from fct_engagement_cohorts
where activity_month between :since and :until
group by activity_month
order by activity_month
