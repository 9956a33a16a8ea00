-- Every day on which a signed-up user was active.
-- grain: activity_day, user_id
-- scope: user_id, activity_day
-- changes: user_id, cohort_month, activity_month
-- cluster: activity_day, user_id
-- indexes: user_id, activity_day
-- words: active
select
    s.activity_day,
    s.user_id,
    {{ db.date_of_day('s.activity_day') }} as activity_date,
    {{ db.month_of_day('s.activity_day') }} as activity_month,
    u.signup_month as cohort_month,
    count(*) as events
from scope__int_user_engagement as s
cross join stg_users as u on s.user_id = u.user_id
cross join stg_events as e on s.user_id = e.user_id and s.activity_day = e.event_day
where {{ words.is_active('e', 'u') }}
group by s.activity_day, s.user_id, u.signup_month
