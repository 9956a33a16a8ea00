-- A person is staged again when a batch of the run holds a row of any of their ids,
select coalesce(i.person_id, r.user_id) as user_id
from raw_users as r
left join int_identities as i on r.user_id = i.id
where r.batch_date in (select batch_date from {{ words.batches() }}) and r.user_id is not null
union
-- when a landing has replaced one,
select coalesce(i.person_id, r.user_id)
from work_replaced_users as r
left join int_identities as i on r.user_id = i.id
union
-- or when an id became another person's, or was one's.
select id from {{ words.changed('int_identities') }}
union
select person_id from {{ words.changed('int_identities') }}
