-- The number of landed rows of each raw table.
select table_name, sum(rows_landed) as rows_landed
from raw_batches
group by table_name
order by table_name
