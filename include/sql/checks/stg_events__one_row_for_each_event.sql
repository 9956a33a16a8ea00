-- An event id has one row.
select e.event_id, count(*) as event_rows
from scope__stg_events as s
{{ db.join }} stg_events as e on s.event_id = e.event_id
group by e.event_id
having count(*) > 1
