-- An e-mail address has an @ in it.
-- severity: warn
select u.user_id, u.batch_date
from scope__stg_users as s
{{ db.join }} stg_users as u on s.user_id = u.user_id
where u.email not like '%_@_%'
