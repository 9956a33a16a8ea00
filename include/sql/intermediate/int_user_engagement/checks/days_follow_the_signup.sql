-- An active day belongs to a user and to the cohort of their signup month, and is not before the signup.
select e.user_id, e.activity_date, u.signup_date, e.cohort_month
from {{ words.in_scope('int_user_engagement', 'e', ['user_id', 'activity_day']) }}
left join stg_users as u on e.user_id = u.user_id
where u.user_id is null or e.activity_day < u.signup_day or e.cohort_month <> u.signup_month
