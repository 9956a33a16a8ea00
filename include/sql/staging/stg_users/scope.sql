-- A person is recomputed when a batch in scope holds a row of one of their ids,
select coalesce(i.person_id, r.user_id) as user_id
from raw_users as r
left join int_identities as i on r.user_id = i.id
where r.batch_date in (select batch_date from {{ words.batches() }}) and r.user_id is not null
union
-- when a landing has replaced such a row,
select coalesce(i.person_id, r.user_id)
from work_replaced_users as r
left join int_identities as i on r.user_id = i.id
union
-- or when they have gained or lost an id.
select id from {{ words.changed('int_identities') }}
union
select person_id from {{ words.changed('int_identities') }}
