-- The months that have data.
select distinct activity_month as month
from fct_engagement_cohorts
union
select distinct cohort_month as month
from fct_acquisition_funnel
order by month
