{#- The days of int_user_engagement where an index leads to rows: of each, the day before and earlier uses are looked up. -#}
active_days as (
    select
        e.event_day as activity_day,
        e.user_id,
        u.signup_month as cohort_month,
        u.signup_day,
        count(*) as events,
        -- A feature counts with the first event of the month that names it.
        sum(case when e.event_type = 'feature_used' and not exists (
            select 1
            from stg_events as o
            where o.user_id = e.user_id
                and o.event_day >= {{ db.greatest('u.signup_day', words.first_day_of_month('e.event_day')) }}
                and o.event_day <= e.event_day
                and (o.event_day < e.event_day or o.event_id < e.event_id)
                and o.feature_name = e.feature_name
                and o.event_type = 'feature_used'
        ) then 1 else 0 end) as new_features
    from {{ words.in_scope('stg_events', 'e', {'user_id': 'user_id', 'activity_day': 'event_day'}, of='int_user_engagement') }}
    {{ db.join }} stg_users as u on e.user_id = u.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.event_day, u.signup_month, u.signup_day
),

absences as materialized (
    -- Else SQLite looks for the day before wherever it is mentioned.
    select
        d.activity_day,
        d.user_id,
        d.cohort_month,
        d.signup_day,
        d.events,
        d.new_features,
        d.activity_day - (
            select max(e.event_day)
            from stg_events as e
            where e.user_id = d.user_id
                and e.event_day >= {{ db.greatest('d.signup_day', 'd.activity_day - ' ~ words.looks_back()) }}
                and e.event_day < d.activity_day
                and e.is_meaningful = 1
        ) as gap_days
    from active_days as d
)
