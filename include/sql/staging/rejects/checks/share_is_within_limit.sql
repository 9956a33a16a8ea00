-- No batch of a table has more rejected rows than the dictionary allows.
select b.table_name, b.batch_date, b.rows_landed, count(*) as rows_rejected
from work_scope_batches as s
inner join raw_batches as b on s.batch_date = b.batch_date
inner join rejects as r on b.batch_date = r.batch_date and b.table_name = r.table_name
group by b.table_name, b.batch_date, b.rows_landed
having count(*) >= {{ definitions.quality.min_rejected_rows }}
    and count(*) > {{ definitions.quality.max_rejected_rate }} * b.rows_landed
