-- The sizes of all cohorts add up to the users in staging.
select counted.users as users_counted, staged.users - later.users as users_staged
from (
    select coalesce(sum(cohort_size), 0) as users from {{ next_rows('fct_engagement_cohorts') }} as n where months_since_signup = 0
) as counted
cross join (select count(*) as users from stg_users) as staged
cross join (
    select count(*) as users
    from run_state as r
    inner join stg_users as u on r.as_of_month < u.signup_month
) as later
where counted.users <> staged.users - later.users
