-- A month is counted again when a day of it came, went or changed,
select activity_month from {{ words.changed('int_user_engagement_totals') }}
union
-- when the members of a cohort did: its size stands in every month that it has lived,
select m.month
from run_state as r
cross join (select min(signup_month) as first_month from {{ words.changed('stg_users') }}) as u
inner join calendar_months as m on m.month between u.first_month and r.as_of_month
union
-- or when it began or closed, or went on, between the as-of day that people see and the new one.
select m.month
from run_state as r
inner join calendar_months as m
    on m.month between coalesce(r.published_month, r.as_of_month) and r.as_of_month
where r.published_day is null or r.published_day < r.as_of_day
