-- Events without a rule in the mapping, in the batches of a period.
select event_name, sum(rows_seen) as rows_seen
from unmapped_events
where batch_date between :first_date and :last_date
group by event_name
order by sum(rows_seen) desc, event_name asc
