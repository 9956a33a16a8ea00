-- A subscription is recomputed when a batch in scope holds one of its rows,
select subscription_id from raw_subscriptions
where batch_date in (select batch_date from {{ words.batches() }}) and subscription_id is not null
union
-- when a landing has replaced one of its rows,
select subscription_id from work_replaced_subscriptions
union
-- when the id that it belonged to now has another person,
select subscription_id from stg_subscriptions where user_id in (select id from {{ words.changed('int_identities') }})
union
-- or when its person has gained or lost an id.
select subscription_id from stg_subscriptions where user_id in (select person_id from {{ words.changed('int_identities') }})
