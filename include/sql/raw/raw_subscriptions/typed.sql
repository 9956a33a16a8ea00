-- Every raw subscription row with its text parsed, and the reason if it is rejected.
{% set q = definitions.quality %}
with texts as (
    select
        batch_date,
        source_file,
        source_row,
        subscription_id,
        user_id,
        nullif(trim(plan_name, ' '), '') as plan_name,
        nullif(trim(status, ' '), '') as status,
        coalesce(nullif(trim(currency, ' '), ''), '{{ definitions.subscriptions.default_currency }}') as currency,
        trim(mrr, ' ') as mrr_text,
        trim(start_date, ' ') as start_text,
        nullif(trim(end_date, ' '), '') as end_text,
        nullif(trim(changed_at, ' '), '') as changed_text,
        {{ db.day_of_date('batch_date') }} as batch_day
    from {{ rows }}
),

read_subscriptions as (
    select
        *,
        {{ db.moment_ms('start_text') }} as start_ms,
        {{ db.moment_ms('end_text') }} as end_ms,
        {{ db.moment_ms('changed_text') }} as changed_ms
    from texts{{ db.fence }}
)

select
    batch_date,
    source_file,
    source_row,
    subscription_id,
    user_id,
    plan_name,
    status,
    currency,
    {{ db.number('mrr_text') }} as mrr,
    {{ db.day_of_ms('start_ms') }} as start_day,
    {{ db.day_of_ms('end_ms') }} as end_day,
    changed_ms,
    batch_day,
    case
        when subscription_id is null or {{ db.is_blank('subscription_id') }} then 'no subscription id'
        when {{ words.real_id('user_id') }} is null then 'no user id'
        when {{ db.has_blanks_around('user_id') }} then 'blanks around the user id'
        when {{ words.is_too_long('user_id') }} then 'user id too long'
        when plan_name is null then 'no plan'
        when plan_name not in ({{ definitions.subscriptions.plans | values }}) then 'unknown plan'
        when status is null then 'no status'
        when status not in ({{ definitions.subscriptions.statuses | values }}) then 'unknown status'
        when mrr_text is null or not {{ db.is_number('mrr_text') }} then 'unreadable price'
        when {{ db.number('mrr_text') }} < 0 then 'negative price'
        when start_ms is null then 'unreadable start date'
        when end_text is not null and end_ms is null then 'unreadable end date'
        when {{ db.day_of_ms('start_ms') }} > batch_day + {{ q.subscription_days_ahead }} then 'start date in the future'
        when {{ db.day_of_ms('start_ms') }} < {{ day(q.earliest_date) }} then 'start date too long ago'
        when {{ db.day_of_ms('end_ms') }} < {{ db.day_of_ms('start_ms') }} then 'end before start'
        when changed_text is not null and changed_ms is null then 'unreadable change date'
        when {{ db.day_of_ms('changed_ms') }} > batch_day + {{ q.event_days_ahead }} then 'change date in the future'
        when {{ db.day_of_ms('changed_ms') }} < {{ day(q.earliest_date) }} then 'change date too long ago'
    end as reject_reason
from read_subscriptions
