-- The users of all days of a month are the active days of that month.
select counted.activity_month, counted.user_days, held.user_days as days_held
from (
    select activity_month, sum(daily_active_users) as user_days
    from building__fct_active_users
    group by activity_month
) as counted
inner join (
    select s.activity_month, count(e.user_id) as user_days
    from scope__fct_active_users as s
    inner join calendar_months as m on s.activity_month = m.month
    cross join run_state as r
    left join int_user_engagement as e
        on e.activity_day between m.first_day and m.last_day and e.activity_day <= r.as_of_day
    group by s.activity_month
) as held on counted.activity_month = held.activity_month
where counted.user_days <> held.user_days
