-- The published state, and whether a run is unfinished: such a run leaves batches in scope and keeps its lease.
select
    r.published_date,
    r.published_month,
    r.published_run_id,
    r.as_of_date,
    (select count(*) from work_scope_batches) as batches_waiting,
    (select max(run_id) from work_lease) as unpublished_run_id,
    (
        select count(*)
        from work_lease as l
        inner join check_results as c on l.dag_id = c.dag_id and l.run_id = c.run_id
        where c.rows_found > 0 and c.severity <> 'warn'
    ) as checks_failed
from run_state as r
