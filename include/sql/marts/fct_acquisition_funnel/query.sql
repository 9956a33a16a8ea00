{% set steps = definitions.funnel.steps %}
with covered_months as (
    select distinct {{ db.month_of_day(db.day_of_date('batch_date')) }} as cohort_month from raw_batches
),

people as (
    select
        s.cohort_month,
        -- A person counts at every step that they have reached, in their cohort month.
        {% for step in steps %}
        count(p.{{ step.name }}_at) as {{ step.people }},
        {% endfor %}
        count(p.user_id) as people_of_month
    from work_scope__fct_acquisition_funnel as s
    left join int_funnel_steps as p on s.cohort_month = p.cohort_month
    group by s.cohort_month
)

select
    p.cohort_month,
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
-- A month without people has a row if a batch of it has arrived.
where p.people_of_month > 0 or p.cohort_month in (select cohort_month from covered_months)
