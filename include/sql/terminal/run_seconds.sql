-- The duration of the SQL of the published run.
select coalesce(sum(sql_seconds), 0) as seconds, count(*) as tasks
from run_steps
where run_id = (select published_run_id from run_state)
