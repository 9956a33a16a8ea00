-- Every day on which a signed-up user was active.
-- grain: activity_day, user_id
-- scope: user_id, activity_day
-- changes: user_id, cohort_month, activity_month
-- cluster: activity_day, user_id
-- indexes: user_id, activity_day
-- words: active
with active_days as (
    select s.activity_day, s.user_id, u.signup_month as cohort_month, count(*) as events
    from scope__int_user_engagement as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    {{ db.join }} stg_events as e on s.user_id = e.user_id and s.activity_day = e.event_day
    where {{ words.is_active('e', 's.activity_day', 'u') }}
    group by s.user_id, s.activity_day, u.signup_month
)

select
    activity_day,
    user_id,
    {{ db.date_of_day('activity_day') }} as activity_date,
    {{ db.month_of_day('activity_day') }} as activity_month,
    cohort_month,
    events
from active_days
