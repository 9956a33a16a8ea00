{#- A step of int_funnel_steps that several events reach together. -#}
firsts_{{ step.name }} as (
    -- Each of the events, once the step before is reached; the last of them completes the step.
    select
        p.{{ so_far | join(', p.') }},
        m.moment,
        min(m.at_ms) as at_ms,
        min(m.latest_ms) as latest_ms
    from after_{{ before.name }} as p
    left join moments as m
        on p.user_id = m.user_id
        and m.moment in ({{ step.all_of | values }})
        and p.{{ before.name }}_ms <= m.latest_ms
{{ unused('m.moment_id') }}    group by p.{{ so_far | join(', p.') }}, m.moment
),

ranked_{{ step.name }} as (
    select
        {{ so_far | join(', ') }},
        '' as moment_id,
        case when count(moment) = {{ step.all_of | length }} then max(at_ms) end as at_ms,
        case when count(moment) = {{ step.all_of | length }} then max(latest_ms) end as latest_ms,
        1 as place
    from firsts_{{ step.name }}
    group by {{ so_far | join(', ') }}
),

