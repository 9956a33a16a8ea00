-- Every accepted link is present, and each link of a batch is recorded from both of its ids.
with arrived_links as (
    select r.*
    from {{ words.of_batches('raw_links', 'r') }}
),

links as (
{{ typed('raw_links', 'arrived_links') }}
)

select t.batch_date, t.source_file, t.source_row, 'is missing' as problem
from links as t
left join int_id_links as l
    on l.id = coalesce(t.user_id, {{ words.device('t.anonymous_id') }}) and t.batch_date = l.batch_date
where t.reject_reason is null and l.id is null and coalesce(t.user_id, '') <> coalesce(t.other_user_id, '')
    and coalesce(t.anonymous_id, '') <> coalesce(t.other_anonymous_id, '')
union all
select l.batch_date, l.id, 0, 'is not seen from ' || l.other_id
from {{ words.of_batches('int_id_links', 'l') }}
left join int_id_links as o
    on l.other_id = o.id and l.id = o.other_id and l.batch_date = o.batch_date
    and o.kind = case l.kind when 'seen_on' then 'seen_user' when 'seen_user' then 'seen_on' else 'same' end
where o.id is null
