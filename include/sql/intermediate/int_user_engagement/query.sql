{% set month_days = definitions.active.month_days %}
with active_days as (
    -- Days with a meaningful event, from the signup day on.
    select
        e.event_day as activity_day,
        e.user_id,
        u.signup_month as cohort_month,
        u.signup_day,
        count(*) as events,
        -- A feature is new on the first day of a calendar month on which the user used it.
        count(distinct case when e.event_type = 'feature_used' and not exists (
            select 1
            from stg_events as o
            where o.user_id = e.user_id
                and o.event_day >= {{ db.greatest('u.signup_day', words.first_day_of_month('e.event_day')) }}
                and o.event_day < e.event_day
                and o.feature_name = e.feature_name
                and o.event_type = 'feature_used'
        ) then e.feature_name end) as new_features
    from {{ words.in_scope('stg_events', 'e', {'user_id': 'user_id', 'activity_day': 'event_day'}, of='int_user_engagement') }}
    inner join stg_users as u on e.user_id = u.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.event_day, u.signup_month, u.signup_day
),

absences as materialized (
    -- The number of days since the user's previous active day.
    select
        d.*,
        {% if whole %}
        -- All days are available. (On DuckDB, a first load at scale 3 takes 0.1 s for this instead of 0.8 s.)
        d.activity_day - lag(d.activity_day) over (partition by d.user_id order by d.activity_day) as days_away
        {% else %}
        d.activity_day - (
            select max(e.event_day)
            from stg_events as e
            where e.user_id = d.user_id
                and e.event_day >= d.signup_day
                and e.event_day < d.activity_day
                and e.is_meaningful = 1
        ) as days_away
        {% endif %}
    from active_days as d
)

select
    d.activity_day,
    d.user_id,
    {{ db.date_of_day('d.activity_day') }} as activity_date,
    {{ db.month_of_day('d.activity_day') }} as activity_month,
    d.cohort_month,
    -- No metric looks further back than {{ words.lookback_days() | trim }} days: longer absences and first active days count as that many.
    case when d.days_away <= {{ words.lookback_days() }} then d.days_away else {{ words.lookback_days() }} end as days_since_active,
    -- A user without an earlier active day is new for {{ month_days }} days from the signup on: the number of days left.
    case
        when d.days_away <= {{ words.lookback_days() }} then 0
        else {{ db.greatest(month_days ~ ' + d.signup_day - d.activity_day', 0) }}
    end as new_user_days_left,
    d.new_features,
    d.events
from absences as d
