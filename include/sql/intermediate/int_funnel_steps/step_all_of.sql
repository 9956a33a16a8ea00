{#- A step of int_funnel_steps that several events reach together. -#}
firsts_{{ step.name }} as (
    -- Of each of the events the first, once the step before is reached; the last of them completes the step.
    select
        p.{{ so_far | join(', p.') }},
        m.moment,
        m.moment_id,
        m.at_ms,
        m.latest_ms,
        row_number() over (partition by p.user_id, m.moment order by m.latest_ms, m.moment_id) as place
    from after_{{ before.name }} as p
    left join moments as m
        on p.user_id = m.user_id
        and m.moment in ({{ step.all_of | values }})
        and p.{{ before.name }}_ms <= m.latest_ms
{{ unused('m.moment_id') }}),

ranked_{{ step.name }} as (
    select
        {{ so_far | join(', ') }},
        {% for event in step.all_of %}
        max(case when moment = '{{ event }}' then moment_id end) as {{ step.ids[loop.index0] }},
        {% endfor %}
        case when count(moment) = {{ step.all_of | length }} then max(at_ms) end as at_ms,
        case when count(moment) = {{ step.all_of | length }} then max(latest_ms) end as latest_ms,
        1 as place
    from firsts_{{ step.name }}
    where {{ db.likely('place = 1') }}
    group by {{ so_far | join(', ') }}
),

