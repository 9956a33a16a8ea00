-- The size of a cohort in its month 0 is the number of users who signed up in that month.
with signups as (
    select signup_month, count(*) as signups
    from stg_users
    group by signup_month
)

select c.cohort_month, c.cohort_size, s.signups
from next__fct_engagement_cohorts as c
left join signups as s on c.cohort_month = s.signup_month
where c.months_since_signup = 0 and (s.signups is null or s.signups <> c.cohort_size)
