-- An event id has one row.
select e.event_id, count(*) as event_rows
from {{ words.in_scope('stg_events', 'e', ['event_id']) }}
group by e.event_id
having count(*) > 1
