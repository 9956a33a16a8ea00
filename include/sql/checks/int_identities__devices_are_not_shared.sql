-- A device that too many people share says of nobody who they are: its rows without a user are nobody's.
-- severity: warn
select l.id, count(distinct coalesce(i.person_id, l.other_id)) as people
from scope__int_identities as s
{{ db.join }} int_id_links as l on s.id = l.id and l.kind = 'seen_user'
left join int_identities as i on l.other_id = i.id
group by l.id
having count(distinct coalesce(i.person_id, l.other_id)) > {{ definitions.identity.max_users }}
