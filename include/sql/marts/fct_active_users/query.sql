{% set week, month = definitions.active.week_days, definitions.active.month_days %}
with numbers as (
{{ words.numbers(2 * month) }}
),

days as (
    select activity_date, {{ db.day_of_date('activity_date') }} as day from work_scope__fct_active_users
),

looked_back as (
    -- All days in the lookback windows of the days in scope, each once.
    select distinct d.day - n.number as activity_day
    from days as d
    cross join numbers as n
),

users as (
    select t.activity_day, t.days_since_active, t.new_user_days_left, sum(t.users) as users
    from looked_back as l
    inner join int_user_engagement_totals as t on l.activity_day = t.activity_day
    group by t.activity_day, t.days_since_active, t.new_user_days_left
),

activity as (
    -- A user counts once in a period, on the first active day in it: the previous active day lies before the period.
    select
        d.activity_date,
        sum(case when n.number = 0 then u.users else 0 end) as daily,
        sum(case when n.number < {{ week }} and n.number + u.days_since_active >= {{ week }} then u.users else 0 end) as weekly,
        sum(case when n.number < {{ month }} and n.number + u.days_since_active >= {{ month }} then u.users else 0 end) as monthly,
        sum(case when n.number < {{ month }} then u.users else 0 end) as user_days,
        sum(case when n.number < u.new_user_days_left then u.users else 0 end) as new,
        -- Users of the previous month, and those of them who are active in this month.
        sum(case when n.number >= {{ month }} and n.number + u.days_since_active >= {{ 2 * month }} then u.users else 0 end) as previous,
        sum(
            case when n.number < {{ month }} and n.number + u.days_since_active between {{ month }} and {{ 2 * month - 1 }}
                then u.users else 0 end
        ) as retained
    from days as d
    cross join numbers as n
    inner join users as u on d.day - n.number = u.activity_day
    group by d.activity_date
)

select
    activity_date,
    {{ db.month_of_day(db.day_of_date('activity_date')) }} as activity_month,
    daily as daily_active_users,
    weekly as weekly_active_users,
    monthly as monthly_active_users,
    {{ db.ratio('user_days', month ~ ' * monthly') }} as stickiness,
    new as new_users,
    retained as retained_users,
    monthly - new - retained as resurrected_users,
    previous - retained as dormant_users
from activity
