-- A subscription has an id, a user, a plan, a status, a price and a start.
select c.subscription_id, c.user_id, c.plan_name, c.status, c.mrr, c.start_date
from {{ words.in_scope('stg_subscriptions', 'c', ['subscription_id']) }}
where trim(c.subscription_id, ' ') = '' or trim(c.user_id, ' ') = '' or c.plan_name is null or c.status is null
    or c.mrr is null or c.start_day is null or c.currency is null
