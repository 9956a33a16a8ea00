-- The cells of the retention triangle.
select cohort_month, months_since_signup, cohort_size, active_users, retention_rate, is_complete
from fct_engagement_cohorts
where cohort_month between :since and :until
order by cohort_month, months_since_signup
