-- What a batch says of two ids stands there for each of them.
select l.batch_date, l.id, l.kind, l.other_id
from scope__int_id_links as s
{{ db.join }} int_id_links as l on s.batch_date = l.batch_date
left join int_id_links as o
    on l.other_id = o.id and l.id = o.other_id and l.batch_date = o.batch_date
    and o.kind = case l.kind when 'seen_on' then 'seen_user' when 'seen_user' then 'seen_on' else 'same' end
where o.id is null
