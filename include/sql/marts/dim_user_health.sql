-- How well each signed-up user is doing on the as-of day, who may leave and who may want more.
-- grain: user_id
-- scope: user_id
-- indexes: is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score
-- words: health, at_risk, upsell_ready, active, subscriptions
{% set h = definitions.health %}
{% set up = definitions.upsell_ready %}
with users as (
    select
        u.user_id,
        u.signup_month as cohort_month,
        u.signup_day,
        r.as_of_day,
        r.as_of_day - {{ h.window_days }} + 1 as window_from,
        (
            select max(e.activity_day)
            from int_user_engagement as e
            where e.user_id = s.user_id and e.activity_day <= r.as_of_day
        ) as last_active_day
    from run_state as r
    cross join scope__dim_user_health as s
    inner join stg_users as u on s.user_id = u.user_id
),

activity as (
    select u.user_id, count(*) as active_days
    from users as u
    {{ db.join }} int_user_engagement as e
        on u.user_id = e.user_id and e.activity_day between u.window_from and u.as_of_day
    group by u.user_id
),

steady_weeks as (
    -- Weeks of seven days that end with the as-of day, counted backwards, with enough active days in each.
    select user_id, count(*) as weeks
    from (
        select e.user_id, {{ db.whole('u.as_of_day - e.activity_day', 7) }} as weeks_ago
        from users as u
        {{ db.join }} int_user_engagement as e
            on u.user_id = e.user_id and e.activity_day between u.as_of_day - {{ 7 * up.weeks - 1 }} and u.as_of_day
        group by e.user_id, {{ db.whole('u.as_of_day - e.activity_day', 7) }}
        having count(*) >= {{ up.active_days_each_week }}
    ) as weeks_of_users
    group by user_id
),

features as (
    select u.user_id, count(distinct f.feature_name) as features_used
    from users as u
    {{ db.join }} int_user_engagement as e
        on u.user_id = e.user_id and e.activity_day between u.window_from and u.as_of_day
    {{ db.join }} int_feature_usage as f on e.activity_day = f.activity_day and e.user_id = f.user_id
    group by u.user_id
),

plans as (
    -- The dearest subscription that runs on the as-of day.
    select
        u.user_id,
        c.plan_name,
        c.is_paying,
        row_number() over (
            partition by u.user_id order by c.is_paying desc, c.mrr desc, c.start_day desc, c.subscription_id
        ) as place
    from users as u
    inner join stg_subscriptions as c
        on u.user_id = c.user_id and c.start_day <= u.as_of_day
        and c.status not in ({{ definitions.subscriptions.having("never") | values }})
        and (
            c.end_day > u.as_of_day
            or (c.end_day is null and c.status not in ({{ definitions.subscriptions.having("ended") | values }}))
        )
),

{% include 'marts/health_scores.sql' %}
