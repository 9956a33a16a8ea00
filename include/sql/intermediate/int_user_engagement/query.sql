{% set month_days = definitions.active.month_days %}
with users as (
    -- Whose days are computed. A day depends on the days before it: on the last active one, and on those of its month.
    {% if whole %}
    select user_id, signup_month, signup_day
    from stg_users
    {% else %}
    select
        s.user_id,
        u.signup_month,
        u.signup_day,
        min(s.activity_day) - {{ words.lookback_days() }} as first_day,
        max(s.activity_day) as last_day
    from work_scope__int_user_engagement as s
    inner join stg_users as u on s.user_id = u.user_id
    group by s.user_id, u.signup_month, u.signup_day
    {% endif %}
),

uses as (
    -- The meaningful events of a user on a day from the signup on, by the feature that they used, if any.
    select
        e.user_id,
        e.event_day as activity_day,
        u.signup_month as cohort_month,
        u.signup_day,
        case when e.event_type = 'feature_used' then e.feature_name end as used_feature,
        count(*) as events
    from users as u
    inner join stg_events as e on u.user_id = e.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}{{ ' and e.event_day between u.first_day and u.last_day' if not whole }}
    group by e.user_id, e.event_day, u.signup_month, u.signup_day, used_feature
),

dated_uses as (
    select
        *,
        min(activity_day) over (
            partition by user_id, used_feature, {{ db.month_of_day('activity_day') }}
        ) as first_day_in_month
    from uses
),

active_days as (
    select
        user_id,
        activity_day,
        cohort_month,
        signup_day,
        sum(events) as events,
        -- A feature is new on the first day of a calendar month on which the user used it.
        sum(case when used_feature is not null and activity_day = first_day_in_month then 1 else 0 end) as new_features,
        activity_day - lag(activity_day) over (partition by user_id order by activity_day) as days_away
    from dated_uses
    group by user_id, activity_day, cohort_month, signup_day
)

select
    d.activity_day,
    d.user_id,
    {{ db.date_of_day('d.activity_day') }} as activity_date,
    {{ db.month_of_day('d.activity_day') }} as activity_month,
    d.cohort_month,
    -- No metric looks further back than lookback_days: a longer absence, or none before, counts as so many days.
    case when d.days_away <= {{ words.lookback_days() }} then d.days_away else {{ words.lookback_days() }} end as days_since_active,
    -- Who was not active before counts as a new user for {{ month_days }} days from the signup on: how many are left.
    case
        when d.days_away <= {{ words.lookback_days() }} then 0
        else {{ db.greatest(month_days ~ ' + d.signup_day - d.activity_day', 0) }}
    end as new_user_days_left,
    d.new_features,
    d.events
from {{ words.in_scope('active_days', 'd', ['user_id', 'activity_day'], of='int_user_engagement') }}
