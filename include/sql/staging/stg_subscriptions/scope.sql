-- A subscription is staged again when a batch of the run holds a row of it,
select subscription_id from raw_subscriptions
where batch_date in (select batch_date from {{ words.batches() }}) and subscription_id is not null
union
-- when a landing has replaced one, the latest or an earlier one,
select subscription_id from work_replaced_subscriptions
union
-- or when it was that of an id that now is somebody else's,
select subscription_id from stg_subscriptions where user_id in (select id from {{ words.changed('int_identities') }})
union
-- or of a person who has lost an id.
select subscription_id from stg_subscriptions where user_id in (select person_id from {{ words.changed('int_identities') }})
