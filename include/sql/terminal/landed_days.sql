-- The number of days of a month with a landed batch.
select count(distinct batch_date) as days
from raw_batches
where batch_date between :first_date and :last_date
