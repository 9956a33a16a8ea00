-- No step has more people than the step before it.
select cohort_month{% for step in definitions.funnel.steps %}, {{ step.people }}{% endfor %}

from work_building__fct_acquisition_funnel
where
{% for step in definitions.funnel.steps[1:] %}
    {{ 'or ' if not loop.first }}{{ step.people }} > {{ definitions.funnel.steps[loop.index0].people }}
{% endfor %}
