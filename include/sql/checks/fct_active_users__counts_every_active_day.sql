-- The users of all days of a month are the active days of that month.
select held.activity_month, held.user_days, counted.user_days as days_counted
from (
    select s.activity_month, count(e.user_id) as user_days
    from scope__fct_active_users as s
    inner join calendar_months as m on s.activity_month = m.month
    cross join run_state as r
    left join int_user_engagement as e
        on e.activity_day between m.first_day and m.last_day and e.activity_day <= r.as_of_day
    group by s.activity_month
) as held
left join (
    select activity_month, sum(daily_active_users) as user_days
    from building__fct_active_users
    group by activity_month
) as counted on held.activity_month = counted.activity_month
where held.user_days <> coalesce(counted.user_days, 0)
