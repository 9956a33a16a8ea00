-- A subscription has one row.
select c.subscription_id, count(*) as subscription_rows
from scope__stg_subscriptions as s
{{ db.join }} stg_subscriptions as c on s.subscription_id = c.subscription_id
group by c.subscription_id
having count(*) > 1
