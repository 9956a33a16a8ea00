-- The users of a day are those whom the totals of int_user_engagement have on it.
with counted as (
    select s.activity_date, coalesce(sum(t.users), 0) as users
    from scope__fct_active_users as s
    left join int_user_engagement_totals as t on {{ db.day_of_date('s.activity_date') }} = t.activity_day
    group by s.activity_date
)

select c.activity_date, c.users as users_counted, a.daily_active_users
from counted as c
left join building__fct_active_users as a on c.activity_date = a.activity_date
where c.users <> coalesce(a.daily_active_users, 0)
