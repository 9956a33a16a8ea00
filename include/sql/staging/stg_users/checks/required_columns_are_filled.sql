-- A user has an id, a signup day and a signup month.
select u.user_id, u.signup_date, u.signup_month, u.signup_day
from {{ words.in_scope('stg_users', 'u', ['user_id']) }}
where trim(u.user_id, ' ') = '' or u.signup_date is null or u.signup_month is null or u.signup_day is null
