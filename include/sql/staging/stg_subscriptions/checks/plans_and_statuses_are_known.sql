-- Every plan and status is in the dictionary.
select c.subscription_id, c.plan_name, c.status
from {{ words.in_scope('stg_subscriptions', 'c', ['subscription_id']) }}
where c.plan_name not in ({{ definitions.subscriptions.plans | values }})
    or c.status not in ({{ definitions.subscriptions.statuses | values }})
