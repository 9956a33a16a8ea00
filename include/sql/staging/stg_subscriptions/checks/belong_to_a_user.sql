-- Every subscriber has a user row, which may arrive late.
-- severity: warn
select c.subscription_id, c.user_id
from {{ words.in_scope('stg_subscriptions', 'c', ['subscription_id']) }}
left join stg_users as u on c.user_id = u.user_id
where u.user_id is null
