-- How well each signed-up user is doing on the as-of day, who may leave and who may want more.
-- grain: user_id
-- scope: user_id
-- indexes: is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score
-- words: health, at_risk, upsell_ready, active, subscriptions
{% set h = definitions.health %}
{% set up = definitions.upsell_ready %}
{% macro runs(c) %}
{{ c }}.start_day <= (select as_of_day from run_state)
        and {{ c }}.status not in ({{ definitions.subscriptions.having("never") | values }})
        and (
            {{ c }}.end_day > (select as_of_day from run_state)
            or ({{ c }}.end_day is null and {{ c }}.status not in ({{ definitions.subscriptions.having("ended") | values }}))
        )
{%- endmacro %}
with activity as (
    select
        s.user_id,
        u.signup_month as cohort_month,
        u.signup_day,
        r.as_of_day,
        count(e.activity_day) as active_days,
        {% for week in range(up.weeks) %}
        -- Weeks of seven days that end with the as-of day, counted backwards.
        sum(case when r.as_of_day - e.activity_day between {{ 7 * week }} and {{ 7 * week + 6 }} then 1 else 0 end)
            as active_days_week_{{ week }},
        {% endfor %}
        max(e.activity_day) as last_active_day
    from run_state as r
    cross join scope__dim_user_health as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    left join int_user_engagement as e
        on s.user_id = e.user_id and e.activity_day between r.as_of_day - {{ h.window_days - 1 }} and r.as_of_day
    where r.only = 1
    group by s.user_id, u.signup_month, u.signup_day, r.as_of_day
),

uses as materialized (
    -- Else SQLite computes the columns again wherever they are mentioned.
    select
        a.*,
        case when a.active_days > 0 then (
            select count(distinct f.feature_name)
            from int_feature_usage as f
            where f.user_id = a.user_id and f.activity_day between a.as_of_day - {{ h.window_days - 1 }} and a.as_of_day
        ) else 0 end as features_used,
        case when a.active_days > 0 then a.last_active_day else (
            select max(e.activity_day)
            from int_user_engagement as e
            where e.user_id = a.user_id and e.activity_day <= a.as_of_day
        ) end as ever_active_day
    from activity as a
),

dearest_plans as (
    select c.user_id, c.plan_name, c.is_paying
    from stg_subscriptions as c
    where {{ runs('c') }} and not exists (
        select 1
        from stg_subscriptions as o
        where o.user_id = c.user_id and {{ runs('o') }} and (
            (o.is_paying, o.mrr, o.start_day) > (c.is_paying, c.mrr, c.start_day)
            or ((o.is_paying, o.mrr, o.start_day) = (c.is_paying, c.mrr, c.start_day) and o.subscription_id < c.subscription_id)
        )
    )
),

{% include 'marts/health_scores.sql' %}
