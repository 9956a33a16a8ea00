{% set parts = ['activity_day', 'cohort_month', 'days_since_active', 'new_user_days_left'] %}
select
    e.activity_day,
    e.cohort_month,
    e.days_since_active,
    e.new_user_days_left,
    e.activity_month,
    count(*) as users,
    sum(e.new_features) as new_features
from {{ words.in_scope('int_user_engagement', 'e', parts, of='int_user_engagement_totals') }}
group by e.activity_day, e.cohort_month, e.days_since_active, e.new_user_days_left, e.activity_month
