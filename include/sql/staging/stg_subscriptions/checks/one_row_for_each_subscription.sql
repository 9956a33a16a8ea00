-- A subscription has one row.
select c.subscription_id, count(*) as subscription_rows
from {{ words.in_scope('stg_subscriptions', 'c', ['subscription_id']) }}
group by c.subscription_id
having count(*) > 1
