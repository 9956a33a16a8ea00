-- Rows landed are rows staged, duplicates and rejects, in each batch of each table.
select a.batch_date, a.table_name, a.rows_landed, a.rows_staged, a.rows_duplicate, a.rows_rejected
from batch_accounting as a
where a.batch_date in (select batch_date from scope_batches)
    and a.rows_landed <> a.rows_staged + a.rows_duplicate + a.rows_rejected
