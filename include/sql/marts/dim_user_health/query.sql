{% set h = definitions.health %}
{% set up = definitions.upsell_ready %}
{% set by_columns = whole or db.reads_by == 'columns' %}
{% macro runs(c) %}
{{ c }}.start_day <= (select as_of_day from run_state)
        and {{ c }}.status not in ({{ definitions.subscriptions.having("never") | values }})
        and (
            {{ c }}.end_day > (select as_of_day from run_state)
            or ({{ c }}.end_day is null and {{ c }}.status not in ({{ definitions.subscriptions.having("ended") | values }}))
        )
{%- endmacro %}
with days as (
    -- Those of everybody: they lie together by day, and nearly all who are in scope were there in the window.
    select
        e.user_id,
        count(*) as active_days,
        {% for week in range(up.weeks) %}
        -- Weeks of seven days that end with the as-of day, counted backwards.
        sum(case when r.as_of_day - e.activity_day between {{ 7 * week }} and {{ 7 * week + 6 }} then 1 else 0 end)
            as active_days_week_{{ week }},
        {% endfor %}
        max(e.activity_day) as last_active_day
    from run_state as r
    {{ db.join }} int_user_engagement as e
        on e.activity_day >= r.as_of_day - {{ h.window_days - 1 }} and e.activity_day <= r.as_of_day
    group by e.user_id
),

features as (
    select f.user_id, count(distinct f.feature_name) as features_used
    from run_state as r
    {{ db.join }} int_feature_usage as f
        on f.activity_day >= r.as_of_day - {{ h.window_days - 1 }} and f.activity_day <= r.as_of_day
    group by f.user_id
),

{% if by_columns %}
last_days as (
    select e.user_id, max(e.activity_day) as activity_day
    from run_state as r
    inner join int_user_engagement as e on e.activity_day <= r.as_of_day
    group by e.user_id
),

{% endif %}
activity as materialized (
    -- Else SQLite looks for the last active day wherever it is mentioned.
    select
        s.user_id,
        u.signup_month as cohort_month,
        u.signup_day,
        r.as_of_day,
        coalesce(d.active_days, 0) as active_days,
        {% for week in range(up.weeks) %}
        coalesce(d.active_days_week_{{ week }}, 0) as active_days_week_{{ week }},
        {% endfor %}
        coalesce(f.features_used, 0) as features_used,
        {% if by_columns %}
        coalesce(d.last_active_day, l.activity_day) as ever_active_day
        {% else %}
        -- Who was not there in the window is looked for among their events.
        coalesce(d.last_active_day, (
            select max(e.event_day)
            from stg_events as e
            where e.user_id = s.user_id and e.event_day <= r.as_of_day and {{ words.is_active('e', 'e.event_day', 'u') }}
        )) as ever_active_day
        {% endif %}
    from run_state as r
    cross join work_scope__dim_user_health as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    left join days as d on s.user_id = d.user_id
    left join features as f on s.user_id = f.user_id
    {% if by_columns %}
    left join last_days as l on s.user_id = l.user_id
    {% endif %}
    where r.only = 1
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

{% include 'marts/dim_user_health/scores.sql' %}
