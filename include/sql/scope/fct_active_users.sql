-- A month is counted again when a day of it, or one that its days look back to, came, went or changed,
{% set look_back = 2 * definitions.active.month_days - 1 %}
with touched as (
    select activity_month as month from changed__int_user_engagement
    union
    -- when somebody signed up on another day, and is new for longer or shorter,
    select signup_month as month from changed__stg_users
)

select m.month
from run_state as r
cross join touched as t
inner join calendar_months as c on t.month = c.month
inner join calendar_months as m
    on m.month between c.month and r.as_of_month and m.first_day <= c.last_day + {{ look_back }}
union
-- or when the as-of day moves on through it.
select m.month
from run_state as r
inner join calendar_months as m
    on m.month between coalesce(r.published_month, r.as_of_month) and r.as_of_month
where r.published_day is null or r.published_day < r.as_of_day
