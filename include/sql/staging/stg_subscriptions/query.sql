{% set s = definitions.subscriptions %}
with arrived as (
    select r.* from {{ words.in_scope('raw_subscriptions', 'r', ['subscription_id'], of='stg_subscriptions') }}
),

typed as (
{{ typed('raw_subscriptions', 'arrived') }}
),

states as (
    -- A state holds from the moment that its row names, else from its arrival.
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
        ) as place
    from typed as t
    left join int_identities as i on t.user_id = i.id
    where {{ db.likely('t.reject_reason is null') }}
),

in_order as (
    select
        *,
        max(place) over (partition by subscription_id) as places,
        -- Of a trial that became a payment without another date of start or change, its arrival says when.
        coalesce(changed_day, case when lag(is_trial) over same = 1 and lag(start_day) over same = start_day then batch_day end)
            as dated_day
    from states
    window same as (partition by subscription_id order by place)
),

payments as (
    -- That it is over says nothing about a payment, unless nothing was known of it before.
    select
        subscription_id,
        min(dated_day) as dated_day,
        max(case when dated_day is null then 1 else 0 end) as is_from_start,
        max(mrr) as mrr
    from in_order
    where mrr > 0 and (is_running = 1 or (is_over = 1 and place = 1))
    group by subscription_id
),

paid as (
    -- A row without a date of change corrects those before it: its price has been the price all the time.
    select
        i.*,
        case when i.changed_day is null then i.mrr else p.mrr end as price,
        case when p.is_from_start = 1 then i.start_day else {{ db.greatest('p.dated_day', 'i.start_day') }} end as first_day
    from in_order as i
    inner join payments as p on i.subscription_id = p.subscription_id
    where {{ db.likely('i.place = i.places') }} and i.status not in ({{ s.having("trial", "never") | values }})
)

select
    i.subscription_id,
    i.user_id,
    i.plan_name,
    i.status,
    i.is_trial,
    case when i.is_running + i.is_over > 0 and i.mrr > 0 then 1 else 0 end as is_paying,
    {{ db.date_of_day('i.start_day') }} as start_date,
    i.start_day,
    {{ db.date_of_day('i.end_day') }} as end_date,
    i.end_day,
    i.mrr,
    i.currency,
    {{ db.date_of_day('p.first_day') }} as paid_date,
    p.first_day as paid_day,
    p.price as paid_mrr,
    i.batch_date,
    i.source_file,
    i.source_row
from in_order as i
left join paid as p on i.subscription_id = p.subscription_id and p.price > 0
where {{ db.likely('i.place = i.places') }}
