-- A month is recomputed when the steps of one of its people are added, removed or changed,
select cohort_month from {{ words.changed('int_funnel_steps') }}
union
-- when it is the month of a batch in scope,
select {{ db.month_of_day(db.day_of_date('batch_date')) }} from {{ words.batches() }}
union
-- or when it matures between the published as-of day and the new one.
select m.month
from run_state as r
inner join calendar_months as m
    on {{ words.maturity_day('m') }} > r.published_day
    and {{ words.maturity_day('m') }} <= r.as_of_day
where m.month in (select cohort_month from fct_acquisition_funnel)
