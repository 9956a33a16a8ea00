-- Why rows do not count.
select table_name, reject_reason, count(*) as rows_rejected, min(batch_date) as first_date, max(batch_date) as last_date
from rejects
group by table_name, reject_reason
order by count(*) desc, table_name, reject_reason
