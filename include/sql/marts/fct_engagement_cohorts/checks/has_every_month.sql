-- Every cohort has one cell for each month from its signup month to the as-of month, with the same size in all of them.
select c.cohort_month, count(*) as months, max(c.months_since_signup) as last_month, min(c.cohort_size) as smallest,
    max(c.cohort_size) as largest
from {{ next_rows('fct_engagement_cohorts') }} as c
cross join run_state as r
inner join calendar_months as a on r.as_of_month = a.month
inner join calendar_months as b on c.cohort_month = b.month
group by c.cohort_month, a.month_number, b.month_number
having count(*) <> a.month_number - b.month_number + 1 or min(c.months_since_signup) <> 0
    or min(c.cohort_size) <> max(c.cohort_size)
