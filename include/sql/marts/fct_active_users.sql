-- How many users were active on each day, in the days up to it, and how many of them came, stayed, returned or left.
-- grain: activity_date
-- scope: activity_month
-- words: active
{% set week, month = definitions.active.week_days, definitions.active.month_days %}
with numbers as (
    {% for number in range([31, 2 * month] | max) %}
    select {{ number }} as number
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}
),

scope_months as (
    select m.month, m.first_day, {{ db.least('m.last_day', 'r.as_of_day') }} as last_day
    from scope__fct_active_users as s
    inner join calendar_months as m on s.activity_month = m.month
    inner join run_state as r on m.first_day <= r.as_of_day
),

days as (
    select m.month as activity_month, m.first_day + n.number as day
    from scope_months as m
    inner join numbers as n on m.first_day + n.number <= m.last_day and n.number < 31
),

months as (
    -- The months that the days look back to, each once.
    select distinct m.first_day, m.last_day
    from scope_months as s
    inner join calendar_months as m on m.first_day <= s.last_day and m.last_day > s.first_day - {{ 2 * month }}
),

active_days as (
    select e.activity_day, lead(e.activity_day) over (partition by e.user_id order by e.activity_day) as next_day
    from months as m
    {{ db.join }} int_user_engagement as e on e.activity_day between m.first_day and m.last_day
),

stays as (
    -- For so many days their activity of this day is the last one of so many users.
    select
        activity_day,
        {{ db.least('coalesce(next_day - activity_day, ' ~ 2 * month ~ ')', 2 * month) }} as days,
        count(*) as users
    from active_days
    group by activity_day, {{ db.least('coalesce(next_day - activity_day, ' ~ 2 * month ~ ')', 2 * month) }}
),

activity as (
    select
        d.day,
        d.activity_month,
        sum(case when n.number = 0 then s.users else 0 end) as daily,
        sum(case when n.number < {{ db.least(week, 's.days') }} then s.users else 0 end) as weekly,
        sum(case when n.number < {{ db.least(month, 's.days') }} then s.users else 0 end) as monthly,
        sum(case when n.number < {{ month }} then s.users else 0 end) as user_days,
        -- Those of the month before this one, and those of them who were not seen again.
        sum(case when n.number between {{ month }} and {{ month - 1 }} + s.days then s.users else 0 end) as previous,
        sum(case when n.number between {{ month }} and s.days - 1 then s.users else 0 end) as dormant
    from days as d
    inner join numbers as n on n.number < {{ 2 * month }}
    inner join stays as s on d.day - n.number = s.activity_day
    group by d.day, d.activity_month
),

first_days as (
    select signup_day, first_day, count(*) as users
    from (
        select
            u.signup_day,
            (select min(e.activity_day) from int_user_engagement as e where e.user_id = u.user_id) as first_day
        from months as m
        {{ db.join }} stg_users as u on u.signup_day between m.first_day and m.last_day
    ) as first_days_of_users
    group by signup_day, first_day
),

newcomers as (
    select d.day, sum(f.users) as users
    from days as d
    inner join numbers as n on n.number < {{ month }}
    inner join first_days as f on d.day - n.number = f.first_day and d.day - f.signup_day < {{ month }}
    group by d.day
)

select
    {{ db.date_of_day('a.day') }} as activity_date,
    a.activity_month,
    a.daily as daily_active_users,
    a.weekly as weekly_active_users,
    a.monthly as monthly_active_users,
    {{ db.ratio('a.user_days', month ~ ' * a.monthly') }} as stickiness,
    coalesce(n.users, 0) as new_users,
    a.previous - a.dormant as retained_users,
    a.monthly - coalesce(n.users, 0) - (a.previous - a.dormant) as resurrected_users,
    a.dormant as dormant_users
from activity as a
left join newcomers as n on a.day = n.day
