{#- One step of int_funnel_steps: of the moments that may reach it, the first does. People go on to the next step with
    all that they have reached. Each step names the one before it once: SQLite writes every mention out in full. -#}
{% set so_far = ['user_id'] %}
{% for other in earlier %}
{% set _ = so_far.extend(other.ids + [other.name ~ '_ms', other.name ~ '_latest_ms']) %}
{% endfor %}
{% macro unused(moment) %}
{% for other in earlier if other.events | select('in', step.events) | list %}
{% for id in other.ids %}
        and ({{ moment }} = '' or {{ moment }} <> coalesce(p.{{ id }}, ''))
{% endfor %}
{% endfor %}
{% endmacro %}
{% macro in_time(at_ms) %}
{% if step.of %}
        -- Days are counted from the end of a day that has no time.
        and {{ at_ms }} <= p.{{ step.of }}_latest_ms + {{ step.within_days * 86400000 }}
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
        c.paid_day * 86400000 as at_ms,
        c.paid_day * 86400000 + 86399999 as latest_ms
    from {{ words.in_scope('stg_subscriptions', 'c', ['user_id'], of='int_funnel_steps') }}
    where c.paid_mrr > {{ step.subscription.mrr_above }}
    {% endif %}
),

ranked_{{ step.name }} as (
    select
        p.{{ so_far | join(', p.') }},
        c.moment_id as {{ step.name }}_id,
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
{% include 'intermediate/int_funnel_steps/step_all_of.sql' %}

{% else %}
{% include 'intermediate/int_funnel_steps/step_active_days.sql' %}

{% endif %}
after_{{ step.name }} as (
    select
        p.{{ so_far | join(', p.') }},
        {% set reached = 'p.latest_ms is not null' %}
        {% if step.all_of or step.active_days %}
        {% set reached = reached ~ (' and p.at_ms <= p.' ~ step.of ~ '_latest_ms + ' ~ step.within_days * 86400000 if step.of else '') %}
        {% endif %}
        {% for id in step.ids %}
        case when {{ reached }} then p.{{ id }} end as {{ id }},
        {% endfor %}
        case when {{ reached }} then {{ db.greatest('p.at_ms', 'p.' ~ before.name ~ '_ms') if before else 'p.at_ms' }} end
            as {{ step.name }}_ms,
        case when {{ reached }} then p.latest_ms end as {{ step.name }}_latest_ms
    from ranked_{{ step.name }} as p
    where {{ db.likely('p.place = 1') }}
),
