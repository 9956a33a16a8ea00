{% set s = definitions.subscriptions %}
with arrived as (
    select r.* from {{ words.in_scope('raw_subscriptions', 'r', ['subscription_id'], of='stg_subscriptions') }}
),

typed as (
{{ typed('raw_subscriptions', 'arrived') }}
),

states as (
    -- Each row is a state of its subscription, ordered by the moment it names, else by its arrival.
    select
        t.subscription_id,
        coalesce(i.person_id, t.user_id) as user_id,
        t.plan_name,
        t.status,
        case when t.status in ({{ s.having("trial") | values }}) then 1 else 0 end as is_trial,
        case when t.status in ({{ s.having("paying") | values }}) then 1 else 0 end as is_running,
        case when t.status in ({{ s.having("ended") | values }}) then 1 else 0 end as is_over,
        t.start_day,
        t.end_day,
        t.mrr,
        t.currency,
        {{ db.day_of_ms('t.changed_ms') }} as changed_day,
        t.batch_day,
        t.batch_date,
        t.source_file,
        t.source_row,
        row_number() over (
            partition by t.subscription_id
            order by coalesce(t.changed_ms, t.batch_day * 86400000 + 86399999), t.batch_date, t.source_file, t.source_row
        ) as state_number
    from typed as t
    left join int_identities as i on t.user_id = i.id
    where {{ words.is_accepted('t') }}
),

dated_states as (
    select
        *,
        row_number() over (partition by subscription_id order by state_number desc) as place_from_last,
        -- The day on which a state began. A state that follows a trial and names no other start or change began when it
        -- arrived. A state without a day corrects the earlier states: it holds from the start of the subscription.
        coalesce(
            changed_day,
            case when lag(is_trial) over earlier = 1 and lag(start_day) over earlier = start_day then batch_day end
        ) as dated_day
    from states
    window earlier as (partition by subscription_id order by state_number)
),

payments as (
    -- A payment is a state with a paying status and a price above 0. An ended state is a payment only if it is the first
    -- state of its subscription, which then was paid until it ended.
    select
        subscription_id,
        min(dated_day) as first_dated_day,
        max(case when dated_day is null then 1 else 0 end) as is_from_start,
        max(mrr) as highest_mrr
    from dated_states
    where mrr > 0 and (is_running = 1 or (is_over = 1 and state_number = 1))
    group by subscription_id
),

latest_states as (
    select * from dated_states where {{ words.is_first('place_from_last') }}
),

paid as (
    -- Paid subscriptions: their latest state is not a trial, and their first payment was made.
    select
        l.subscription_id,
        -- The price of the latest state if it corrects all earlier states, else the highest price.
        case when l.changed_day is null then l.mrr else p.highest_mrr end as paid_mrr,
        -- The start if a payment holds from the start, else the first dated payment, but not before the start.
        case when p.is_from_start = 1 then l.start_day else {{ db.greatest('p.first_dated_day', 'l.start_day') }} end as paid_day
    from latest_states as l
    inner join payments as p on l.subscription_id = p.subscription_id
    where l.status not in ({{ s.having("trial", "never") | values }})
)

select
    l.subscription_id,
    l.user_id,
    l.plan_name,
    l.status,
    l.is_trial,
    -- Paying: a price above 0 and a paying or ended status; end_date tells until when.
    case when l.is_running + l.is_over > 0 and l.mrr > 0 then 1 else 0 end as is_paying,
    {{ db.date_of_day('l.start_day') }} as start_date,
    l.start_day,
    {{ db.date_of_day('l.end_day') }} as end_date,
    l.end_day,
    l.mrr,
    l.currency,
    {{ db.date_of_day('p.paid_day') }} as paid_date,
    p.paid_day,
    p.paid_mrr,
    l.batch_date,
    l.source_file,
    l.source_row
from latest_states as l
left join paid as p on l.subscription_id = p.subscription_id and p.paid_mrr > 0
