{% set steps = definitions.funnel.steps %}
with people as (
    select
        s.cohort_month,
        p.utm_source,
        p.utm_campaign,
        -- A person counts at every step that they have reached, in their cohort month.
        {% for step in steps %}
        count(p.{{ step.name }}_at) as {{ step.people }}{{ ',' if not loop.last }}
        {% endfor %}
    from work_scope__fct_acquisition_funnel_by_channel as s
    inner join int_funnel_steps as p on s.cohort_month = p.cohort_month
    group by s.cohort_month, p.utm_source, p.utm_campaign
)

select
    p.cohort_month,
    p.utm_source,
    p.utm_campaign,
    {% for step in steps %}
    p.{{ step.people }},
    {% endfor %}
    {{ words.step_rates('p') }}
    -- A month is mature when the windows of all its people have closed.
    case when {{ words.maturity_day('m') }} <= r.as_of_day then 1 else 0 end as is_mature,
    {{ db.date_of_day(words.maturity_day('m')) }} as matures_on
from people as p
inner join calendar_months as m on p.cohort_month = m.month
cross join run_state as r
