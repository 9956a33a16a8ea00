-- The size of a cohort in month 0 is the number of users who signed up in that month.
with cohorts as (
    -- Cohorts that may differ from the published ones.
    select cohort_month from work_building__fct_engagement_cohorts where months_since_signup = 0
    union
    select signup_month from {{ words.changed('stg_users') }}
),

signups as (
    select c.cohort_month, count(*) as signups
    from cohorts as c
    inner join stg_users as u on c.cohort_month = u.signup_month
    group by c.cohort_month
)

select c.cohort_month, n.cohort_size, s.signups
from cohorts as c
inner join {{ next_rows('fct_engagement_cohorts') }} as n on c.cohort_month = n.cohort_month and n.months_since_signup = 0
left join signups as s on c.cohort_month = s.cohort_month
where s.signups is null or s.signups <> n.cohort_size
