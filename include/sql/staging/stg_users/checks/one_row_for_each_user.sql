-- A user has one row.
select u.user_id, count(*) as user_rows
from {{ words.in_scope('stg_users', 'u', ['user_id']) }}
group by u.user_id
having count(*) > 1
