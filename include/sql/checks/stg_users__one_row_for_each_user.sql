-- A user has one row.
select u.user_id, count(*) as user_rows
from scope__stg_users as s
{{ db.join }} stg_users as u on s.user_id = u.user_id
group by u.user_id
having count(*) > 1
