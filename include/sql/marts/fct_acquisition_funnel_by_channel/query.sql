{% set f = definitions.funnel %}
with people as (
    select
        s.cohort_month,
        p.utm_source,
        p.utm_campaign,
        {% for step in f.steps %}
        count(p.{{ step.name }}_at) as {{ step.people }}{{ ',' if not loop.last }}
        {% endfor %}
    from work_scope__fct_acquisition_funnel_by_channel as s
    {{ db.join }} int_funnel_steps as p on s.cohort_month = p.cohort_month
    group by s.cohort_month, p.utm_source, p.utm_campaign
)

select
    p.cohort_month,
    p.utm_source,
    p.utm_campaign,
    {% for step in f.steps %}
    p.{{ step.people }},
    {% endfor %}
    {% for step in f.steps[1:] %}
    {% set before = f.steps[loop.index0] %}
    {{ db.ratio('p.' ~ step.people, 'p.' ~ before.people) }} as {{ before.noun }}_to_{{ step.noun }}_rate,
    {% endfor %}
    case when m.last_day + {{ f.days_to_mature }} <= r.as_of_day then 1 else 0 end as is_mature,
    {{ db.date_of_day('m.last_day + ' ~ f.days_to_mature) }} as matures_on
from people as p
inner join calendar_months as m on p.cohort_month = m.month
cross join run_state as r
