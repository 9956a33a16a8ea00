-- The daily active users of a day are the users that int_user_engagement_totals has on it.
with days as (
    select activity_date from work_scope__fct_active_users
    union
    select {{ db.date_of_day('t.activity_day') }}
    from run_state as r
    inner join {{ words.changed('int_user_engagement_totals') }} as t on t.activity_day <= r.as_of_day
),

counted as (
    select d.activity_date, coalesce(sum(t.users), 0) as users
    from days as d
    left join int_user_engagement_totals as t on {{ db.day_of_date('d.activity_date') }} = t.activity_day
    group by d.activity_date
)

select c.activity_date, c.users as users_counted, a.daily_active_users
from counted as c
left join work_building__fct_active_users as a on c.activity_date = a.activity_date
where c.users <> coalesce(a.daily_active_users, 0)
