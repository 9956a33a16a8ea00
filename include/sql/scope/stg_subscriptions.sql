-- A subscription is staged again when a batch of the run holds a row of it, or held the one that counted.
select subscription_id from raw_subscriptions
where batch_date in (select batch_date from scope_batches) and subscription_id is not null
union
select subscription_id from stg_subscriptions where batch_date in (select batch_date from scope_batches)
