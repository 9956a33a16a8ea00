-- A user is recomputed when their row, or an active day, used feature or subscription of theirs, changes,
{% set h = definitions.health %}
with touched as (
    select user_id from {{ words.changed('stg_users') }}
    union
    select user_id from {{ words.changed('int_user_engagement') }}
    union
    select user_id from {{ words.changed('int_feature_usage') }}
    union
    select user_id from {{ words.changed('stg_subscriptions') }}
),

-- or, when the as-of day advances, if they were active on a day that leaves or enters the window,
moving as (
    -- The first such day of each user is enough: the previous active day lies before these days.
    select e.user_id
    from run_state as r
    inner join int_user_engagement as e
        on e.activity_day > r.published_day - {{ h.window_days }} and e.activity_day <= r.as_of_day
    where r.published_day < r.as_of_day
        and (e.days_since_active >= {{ words.lookback_days() }} or e.activity_day - e.days_since_active <= r.published_day - {{ h.window_days }})
),

-- if a subscription of theirs starts or ends between the two as-of days,
subscribing as (
    select s.user_id
    from run_state as r
    inner join stg_subscriptions as s on s.start_day > r.published_day and s.start_day <= r.as_of_day
    union
    select s.user_id
    from run_state as r
    inner join stg_subscriptions as s on s.end_day > r.published_day and s.end_day <= r.as_of_day
),

-- or if their first days after the signup are over.
settling as (
    select u.user_id
    from run_state as r
    inner join stg_users as u
        on u.signup_day > r.published_day - {{ definitions.at_risk.after_signup_days }}
        and u.signup_day <= r.as_of_day - {{ definitions.at_risk.after_signup_days }}
)

select user_id from touched
union
select user_id from moving
union
select user_id from subscribing
union
select user_id from settling
