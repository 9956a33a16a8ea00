-- The channels of a month add up to its funnel at every step.
select t.cohort_month{% for step in definitions.funnel.steps %}, t.{{ step.people }}, sum(c.{{ step.people }}) as {{ step.people }}_of_channels{% endfor %}

from work_building__fct_acquisition_funnel as t
left join {{ next_rows('fct_acquisition_funnel_by_channel') }} as c on t.cohort_month = c.cohort_month
group by t.cohort_month{% for step in definitions.funnel.steps %}, t.{{ step.people }}{% endfor %}

having
{% for step in definitions.funnel.steps %}
    {{ 'or ' if not loop.first }}coalesce(sum(c.{{ step.people }}), 0) <> t.{{ step.people }}
{% endfor %}
