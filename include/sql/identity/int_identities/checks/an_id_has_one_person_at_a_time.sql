-- The periods of the people of an id do not overlap, and a user id has one person for all time.
select i.id, i.from_ms, i.until_ms, i.person_id
from {{ words.in_scope('int_identities', 'i', ['id']) }}
left join int_identities as o on i.id = o.id and i.from_ms < o.from_ms
where i.until_ms <= i.from_ms or o.from_ms < i.until_ms or ({{ words.is_device('i.id') }} = 0 and o.id is not null)
