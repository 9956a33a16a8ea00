-- No price is negative, and no subscription ends before it starts or starts before the earliest date.
select c.subscription_id, c.mrr, c.start_date, c.end_date
from {{ words.in_scope('stg_subscriptions', 'c', ['subscription_id']) }}
where c.mrr < 0 or c.end_day < c.start_day or c.start_day < {{ day(definitions.quality.earliest_date) }}
