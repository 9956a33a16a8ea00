-- Every subscription as last heard of: the latest arrival of each subscription id.
-- grain: subscription_id
-- scope: subscription_id
-- changes: user_id, start_day
-- indexes: user_id; batch_date; start_day; end_day
-- words: subscriptions
with arrivals as (
    select
        t.subscription_id,
        t.user_id,
        t.plan_name,
        t.status,
        t.start_day,
        t.end_day,
        t.mrr,
        t.currency,
        t.batch_date,
        t.source_file,
        t.source_row,
        row_number() over (
            partition by t.subscription_id
            order by t.batch_date desc, t.source_file desc, t.source_row desc
        ) as arrivals_after
    from scope__stg_subscriptions as s
    {{ db.join }} typed_subscriptions as t on s.subscription_id = t.subscription_id
    where t.reject_reason is null
)

select
    subscription_id,
    user_id,
    plan_name,
    status,
    case when status in ({{ definitions.subscriptions.having("trial") | values }}) then 1 else 0 end as is_trial,
    {{ db.date_of_day('start_day') }} as start_date,
    start_day,
    {{ db.date_of_day('end_day') }} as end_date,
    end_day,
    mrr,
    currency,
    batch_date,
    source_file,
    source_row
from arrivals
where arrivals_after = 1
