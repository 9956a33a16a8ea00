-- The number of people of any cohort who reached each funnel step in a month.
{% set steps = definitions.funnel.steps %}
select
    {% for step in steps %}
    sum(case when {{ step.name }}_at >= :first_date and {{ step.name }}_at < :next_month then 1 else 0 end) as {{ step.people }}{{ ',' if not loop.last }}
    {% endfor %}
from int_funnel_steps
