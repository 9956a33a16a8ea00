-- How many users were active on a day, by their cohort, how long they had been away and for how long they count as new.
-- grain: activity_day, cohort_month, days_since_active, new_days
-- scope: activity_day, cohort_month, days_since_active, new_days
-- changes: activity_day, activity_month
-- words: active, features
select
    e.activity_day,
    e.cohort_month,
    e.days_since_active,
    e.new_days,
    e.activity_month,
    count(*) as users,
    sum(e.new_features) as new_features
from scope__int_user_engagement_totals as s
{{ db.join }} int_user_engagement as e
    on s.activity_day = e.activity_day and s.cohort_month = e.cohort_month
    and s.days_since_active = e.days_since_active and s.new_days = e.new_days
group by e.activity_day, e.cohort_month, e.days_since_active, e.new_days, e.activity_month
