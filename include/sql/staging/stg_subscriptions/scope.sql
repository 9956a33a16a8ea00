-- A subscription is staged again when a batch of the run holds a row of it,
select subscription_id from raw_subscriptions
where batch_date in (select batch_date from {{ words.batches() }}) and subscription_id is not null
union
-- when a landing has replaced one, the latest or an earlier one,
select subscription_id from work_replaced_subscriptions
union
-- or when it was that of an id that now is somebody else's,
select p.subscription_id
from {{ words.changed('int_identities') }} as c
{{ db.join }} stg_subscriptions as p on c.id = p.user_id
union
-- or of a person who has lost an id.
select p.subscription_id
from {{ words.changed('int_identities') }} as c
{{ db.join }} stg_subscriptions as p on c.person_id = p.user_id
