-- Every step with a window is reached within it.
{% for step in definitions.funnel.steps if step.within_days %}
select p.user_id, '{{ step.name }}' as step_name, p.{{ step.of }}_at as counted_from, p.{{ step.name }}_at as reached_at
from {{ words.in_scope('int_funnel_steps', 'p', ['user_id']) }}
where {{ db.day_of_date('p.' ~ step.name ~ '_at') }} - {{ db.day_of_date('p.' ~ step.of ~ '_at') }} > {{ step.within_days }}
{{ 'union all' if not loop.last }}
{% else %}
select user_id from int_funnel_steps where 1 = 0
{% endfor %}
