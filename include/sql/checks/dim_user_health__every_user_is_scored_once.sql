-- There are as many rows as users in staging, and every user in scope has one.
select null as user_id, scored.users as users_scored, staged.users as users_staged
from (select count(*) as users from next__dim_user_health) as scored
cross join (select count(*) as users from stg_users) as staged
where scored.users <> staged.users
union all
select u.user_id, 0, 1
from scope__dim_user_health as s
{{ db.join }} stg_users as u on s.user_id = u.user_id
left join building__dim_user_health as h on u.user_id = h.user_id
where h.user_id is null
