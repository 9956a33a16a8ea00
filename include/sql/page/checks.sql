-- The results of a run's checks: failures first, then warnings.
select check_name, severity, rows_found
from check_results
where run_id = :run_id
order by case when rows_found = 0 then 2 when severity = 'warn' then 1 else 0 end, check_name
