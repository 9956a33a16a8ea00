{#- One step of int_funnel_steps: of the moments that may reach it, the first does. People go on to the next step with
    all that they have reached. Each step names the one before it once: SQLite writes every mention out in full. -#}
{% set so_far = ['user_id'] %}
{% for other in earlier %}
{% set _ = so_far.extend([other.name ~ '_id', other.name ~ '_ms', other.name ~ '_latest_ms']) %}
{% endfor %}
{% macro unused(moment) %}
{% for other in earlier if other.events | select('in', step.events) | list %}
        and ({{ moment }} = '' or {{ moment }} <> coalesce(p.{{ other.name }}_id, ''))
{% endfor %}
{% endmacro %}
{% macro in_time(at_ms) %}
{% if step.of %}
        -- Days are counted from the end of a day that has no time.
        and {{ at_ms }} <= p.{{ step.of }}_latest_ms + {{ step.within_days }} * 86400000
{% endif %}
{% endmacro %}
{% if step.any_of or step.subscription %}
candidates_{{ step.name }} as (
    {% if step.any_of %}
    select user_id, moment_id, at_ms, latest_ms
    from moments
    where moment in ({{ step.any_of | values }}{% for date in step.or_user_date %}, 'user {{ date }}'{% endfor %})
    {% if step.implied_by %}
    union all
    -- An event that implies this step is not used up by it: it may reach the next one as well.
    select user_id, '', at_ms, latest_ms
    from moments
    where moment in ({{ step.implied_by | values }})
    {% endif %}
    {% else %}
    select
        c.user_id,
        c.subscription_id as moment_id,
        c.start_day * 86400000 as at_ms,
        c.start_day * 86400000 + 86399999 as latest_ms
    from scope__int_funnel_steps as s
    {{ db.join }} stg_subscriptions as c on s.user_id = c.user_id
    where c.is_trial = 0 and c.mrr > {{ step.subscription.mrr_above }}
    {% endif %}
),

ranked_{{ step.name }} as (
    select
        p.{{ so_far | join(', p.') }},
        c.moment_id,
        c.at_ms,
        c.latest_ms,
        row_number() over (partition by p.user_id order by c.latest_ms, c.moment_id) as place
    from after_{{ before.name if before else 'nothing' }} as p
    left join candidates_{{ step.name }} as c
        on p.user_id = c.user_id
        {% if before %}
        and p.{{ before.name }}_ms <= c.latest_ms
        {% endif %}
{{ unused('c.moment_id') }}{{ in_time('c.at_ms') }}),

{% elif step.all_of %}
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

{% else %}
active_days_{{ step.name }} as (
    -- With each active day the one {{ step.active_days.days - 1 }} active days before it.
    select
        {{ so_far | join(', ') }},
        day,
        lag(day, {{ step.active_days.days - 1 }}) over (partition by user_id order by day) as back
    from (
        select distinct p.{{ so_far | join(', p.') }}, m.at_day as day
        from after_{{ before.name }} as p
        left join moments as m
            on p.user_id = m.user_id
            and m.is_meaningful = 1
            and {{ db.day_of_ms('p.' ~ before.name ~ '_ms') }} <= m.at_day
    ) as days
),

ranked_{{ step.name }} as (
    -- The first day that is the last of {{ step.active_days.days }} active days within {{ step.active_days.window_days }}.
    select
        p.{{ so_far | join(', p.') }},
        '' as moment_id,
        case when p.day - p.back < {{ step.active_days.window_days }} then p.day * 86400000 end as at_ms,
        case when p.day - p.back < {{ step.active_days.window_days }} then p.day * 86400000 + 86399999 end as latest_ms,
        row_number() over (
            partition by p.user_id
            order by case when p.day - p.back < {{ step.active_days.window_days }} then 0 else 1 end, p.day
        ) as place
    from active_days_{{ step.name }} as p
),

{% endif %}
after_{{ step.name }} as (
    select
        p.{{ so_far | join(', p.') }},
        {% set reached = 'p.latest_ms is not null' %}
        {% if step.all_of or step.active_days %}
        {% set reached = reached ~ (' and p.at_ms <= p.' ~ step.of ~ '_latest_ms + ' ~ step.within_days ~ ' * 86400000' if step.of else '') %}
        {% endif %}
        case when {{ reached }} then p.moment_id end as {{ step.name }}_id,
        case when {{ reached }} then {{ db.greatest('p.at_ms', 'p.' ~ before.name ~ '_ms') if before else 'p.at_ms' }} end
            as {{ step.name }}_ms,
        case when {{ reached }} then p.latest_ms end as {{ step.name }}_latest_ms
    from ranked_{{ step.name }} as p
    where p.place = 1
),
