{#- The days of int_user_engagement where whole columns are read: all days of the users in scope, each beside the one before. -#}
users as (
    select u.user_id, u.signup_month, u.signup_day
    from stg_users as u
    {% if not whole %}
    where u.user_id in (select user_id from work_scope__int_user_engagement)
    {% endif %}
),

user_days as (
    select e.user_id, e.event_day, u.signup_month, u.signup_day, count(*) as events
    from users as u
    inner join stg_events as e on u.user_id = e.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.event_day, u.signup_month, u.signup_day
),

absent_days as (
    select *, event_day - lag(event_day) over (partition by user_id order by event_day) as days_before
    from user_days
),

first_uses as (
    -- A feature counts on the first day of the month that it is used on.
    select e.user_id, min(e.event_day) as event_day
    from users as u
    inner join stg_events as e on u.user_id = e.user_id
    where e.event_type = 'feature_used' and {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.feature_name, {{ db.month_of_day('e.event_day') }}
),

new_features as (
    select user_id, event_day, count(*) as new_features
    from first_uses
    group by user_id, event_day
),

absences as (
    select
        d.event_day as activity_day,
        d.user_id,
        d.signup_month as cohort_month,
        d.signup_day,
        d.events,
        coalesce(n.new_features, 0) as new_features,
        case when d.days_before <= {{ words.looks_back() }} then d.days_before end as gap_days
    from absent_days as d
    left join new_features as n on d.user_id = n.user_id and d.event_day = n.event_day
    {% if not whole %}
    where (d.user_id, d.event_day) in (select user_id, activity_day from work_scope__int_user_engagement)
    {% endif %}
)

