-- How many rows of each raw table have landed.
select table_name, sum(rows_landed) as rows_landed
from raw_batches
group by table_name
order by table_name
