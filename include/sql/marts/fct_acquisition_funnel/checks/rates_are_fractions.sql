-- Every rate is a share of the step before, from 0 to 1, and is null only where that step has no people.
{% for step in definitions.funnel.steps[1:] %}
{% set before = definitions.funnel.steps[loop.index0] %}
{% set rate = before.noun ~ '_to_' ~ step.noun ~ '_rate' %}
select cohort_month, '{{ rate }}' as rate_name, {{ rate }} as rate, {{ step.people }} as part, {{ before.people }} as whole
from work_building__fct_acquisition_funnel
where ({{ rate }} is null and {{ before.people }} > 0)
    or {{ rate }} not between 0 and 1
    or abs({{ rate }} * {{ before.people }} - {{ step.people }}) > 1e-6
{{ 'union all' if not loop.last }}
{% endfor %}
