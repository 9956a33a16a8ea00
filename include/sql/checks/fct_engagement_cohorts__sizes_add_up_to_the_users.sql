-- The cohorts together are the users in staging.
select counted.users as users_counted, staged.users as users_staged
from (
    select coalesce(sum(cohort_size), 0) as users from next__fct_engagement_cohorts where months_since_signup = 0
) as counted
cross join (
    select count(*) as users from stg_users inner join run_state on stg_users.signup_month <= run_state.as_of_month
) as staged
where counted.users <> staged.users
