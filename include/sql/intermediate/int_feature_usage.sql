-- How often a signed-up user used a feature on a day.
-- grain: activity_day, user_id, feature_name
-- scope: user_id, activity_day
-- changes: user_id, cohort_month, activity_month
-- cluster: activity_day, user_id, feature_name
-- indexes: user_id, activity_day, feature_name
-- words: features, active
with used_features as (
    select s.activity_day, s.user_id, e.feature_name, u.signup_month as cohort_month, count(*) as uses
    from scope__int_feature_usage as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    {{ db.join }} stg_events as e on s.user_id = e.user_id and s.activity_day = e.event_day
    where e.event_type = 'feature_used' and {{ words.is_active('e', 's.activity_day', 'u') }}
    group by s.user_id, s.activity_day, e.feature_name, u.signup_month
)

select
    activity_day,
    user_id,
    feature_name,
    {{ db.date_of_day('activity_day') }} as activity_date,
    {{ db.month_of_day('activity_day') }} as activity_month,
    cohort_month,
    uses
from used_features
