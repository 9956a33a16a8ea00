{% set steps = definitions.funnel.steps %}
{% set first = steps[0] %}
with moments as (
    -- Whatever may reach a step. A date without a time has its whole day: latest_ms is the end of it.
    select
        e.user_id,
        e.event_type as moment,
        e.event_id as moment_id,
        e.event_ms as at_ms,
        e.event_latest_ms as latest_ms,
        e.event_day as at_day,
        e.is_meaningful
    from {{ words.in_scope('stg_events', 'e', ['user_id'], of='int_funnel_steps') }}
    where e.event_type in ({{ words.funnel_event_types() }})
    union all
    select u.user_id, 'user signup_date', '', u.signup_ms, u.signup_latest_ms, u.signup_day, 0
    from {{ words.in_scope('stg_users', 'u', ['user_id'], of='int_funnel_steps') }}
    union all
    select u.user_id, 'user first_visit_date', '', u.first_visit_ms, u.first_visit_latest_ms, null, 0
    from {{ words.in_scope('stg_users', 'u', ['user_id'], of='int_funnel_steps') }}
    where u.first_visit_ms is not null
),

{% if definitions.funnel.counts_active_days %}
active_days as (
    select distinct user_id, at_day as day
    from moments
    where is_meaningful = 1
),

{% endif %}
after_nothing as (
    select user_id from work_scope__int_funnel_steps
),

{% for step in steps %}
{% set before = none if loop.first else loop.previtem %}
{% set earlier = steps[:loop.index0] %}
{% include 'intermediate/int_funnel_steps/step.sql' %}

{% endfor %}
first_visits as (
    -- Where a date or a signup says when somebody came, an event of that day without a time may say how.
    select
        p.*,
        case when p.{{ first.name }}_id <> '' then p.{{ first.name }}_id else (
            select min(e.event_id)
            from stg_events as e
            where p.{{ first.name }}_id = ''
                and e.user_id = p.user_id
                and e.event_day = {{ db.day_of_ms('p.' ~ first.name ~ '_ms') }}
                and e.event_ms <= p.{{ first.name }}_ms
                and e.event_type in ({{ first.any_of | values }})
        ) end as first_visit_id
    from after_{{ steps[-1].name }} as p
    where p.{{ definitions.funnel.cohort_step }}_ms is not null
)

-- The channel is that of the first visit, or the one that the user's own row names.
select
    p.user_id,
    {{ db.month_of_day(db.day_of_ms('p.' ~ definitions.funnel.cohort_step ~ '_ms')) }} as cohort_month,
    coalesce(e.utm_source, u.utm_source, '(none)') as utm_source,
    coalesce(case when e.utm_source is null then u.utm_campaign else e.utm_campaign end, '(none)') as utm_campaign,
    {% for step in steps %}
    {{ db.at_of_ms('p.' ~ step.name ~ '_ms') }} as {{ step.name }}_at{{ ',' if not loop.last }}
    {% endfor %}
from first_visits as p
left join stg_events as e on p.first_visit_id = e.event_id
left join stg_users as u on p.user_id = u.user_id
