-- How many cells of each table changed after they were final, and why.
select cause, table_name, count(*) as cells
from restatements
group by cause, table_name
order by cause, table_name
