-- A person reaches each step at or after the step before it.
select p.user_id{% for step in definitions.funnel.steps %}, p.{{ step.name }}_at{% endfor %}

from {{ words.in_scope('int_funnel_steps', 'p', ['user_id']) }}
where
{% for step in definitions.funnel.steps[1:] %}
{% set before = definitions.funnel.steps[loop.index0].name %}
    {{ 'or ' if not loop.first }}(p.{{ step.name }}_at is not null and (p.{{ before }}_at is null or p.{{ before }}_at > p.{{ step.name }}_at))
{% endfor %}
