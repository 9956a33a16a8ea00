-- A month is recomputed when the active users of one of its days change,
select activity_month from {{ words.changed('int_user_engagement_totals') }}
union
-- when the members of a cohort change, since each month from the signup month on holds the size of the cohort,
select m.month
from run_state as r
cross join (select min(signup_month) as first_month from {{ words.changed('stg_users') }}) as u
inner join calendar_months as m on m.month between u.first_month and r.as_of_month
union
-- or when it starts, continues or ends between the published as-of day and the new one.
select m.month
from run_state as r
inner join calendar_months as m
    on m.month between coalesce(r.published_month, r.as_of_month) and r.as_of_month
where r.published_day is null or r.published_day < r.as_of_day
