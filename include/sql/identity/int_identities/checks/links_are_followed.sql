-- Two user ids that are linked have the same person, and a device has a person unless too many users share it.
select l.id, l.other_id
from {{ words.of_batches('int_id_links', 'l') }}
left join int_identities as i on l.id = i.id
left join int_identities as o on l.other_id = o.id
where l.kind = 'same' and {{ words.is_device('l.id') }} = 0 and coalesce(i.person_id, l.id) <> coalesce(o.person_id, l.other_id)
union
select l.id, l.other_id
from {{ words.of_batches('int_id_links', 'l') }}
left join int_identities as i on l.id = i.id
where l.kind = 'seen_user' and i.id is null
    and not exists (select 1 from int_id_links as d where d.id = l.id and d.kind = 'same')
    and (
        select count(distinct d.other_id) from int_id_links as d where d.id = l.id and d.kind = 'seen_user'
    ) <= {{ definitions.identity.max_users }}
