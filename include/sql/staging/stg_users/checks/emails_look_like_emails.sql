-- Every e-mail address contains an @.
-- severity: warn
select u.user_id, u.batch_date
from {{ words.in_scope('stg_users', 'u', ['user_id']) }}
where u.email not like '%_@_%'
