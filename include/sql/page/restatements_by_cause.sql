-- The number of cells of each table that changed after they were final, by cause.
select cause, table_name, count(*) as cells
from restatements
group by cause, table_name
order by cause, table_name
