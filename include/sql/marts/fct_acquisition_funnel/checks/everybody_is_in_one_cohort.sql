-- The people of all cohorts add up to the people of the funnel.
{% set first = definitions.funnel.steps[0] %}
select counted.people as people_counted, steps.people as people_in_steps
from (select coalesce(sum({{ first.people }}), 0) as people from {{ next_rows('fct_acquisition_funnel') }} as n) as counted
cross join (select count(*) as people from int_funnel_steps) as steps
where counted.people <> steps.people
