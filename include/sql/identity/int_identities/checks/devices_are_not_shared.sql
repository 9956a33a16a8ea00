-- No device is shared by so many users that its rows without a user cannot be attributed.
-- severity: warn
select l.id, count(distinct coalesce(i.person_id, l.other_id)) as people
from {{ words.in_scope('int_id_links', 'l', ['id'], of='int_identities') }}
left join int_identities as i on l.other_id = i.id
where l.kind = 'seen_user'
group by l.id
having count(distinct coalesce(i.person_id, l.other_id)) > {{ definitions.identity.max_users }}
