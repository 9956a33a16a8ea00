-- No person id belongs to another person.
select i.id, i.person_id, o.person_id as persons_person_id
from {{ words.in_scope('int_identities', 'i', ['id']) }}
inner join int_identities as o on i.person_id = o.id
