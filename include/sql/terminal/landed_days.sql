-- On how many days of a month a batch has landed.
select count(distinct batch_date) as days
from raw_batches
where batch_date between :first_date and :last_date
