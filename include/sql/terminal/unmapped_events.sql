-- Events of the batches of some days that no rule of the mapping names.
select event_name, sum(rows_seen) as rows_seen
from unmapped_events
where batch_date between :first_date and :last_date
group by event_name
order by sum(rows_seen) desc, event_name asc
