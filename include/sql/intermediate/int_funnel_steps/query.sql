{% set funnel, steps, day_ms = definitions.funnel, definitions.funnel.steps, 86400000 %}
{% set first = steps[0] %}
with moments as (
    -- Moments that may reach a step: events and dates of the user row. A date-only timestamp covers its whole day.
    select
        e.user_id,
        e.event_type as moment,
        e.event_id as moment_id,
        e.event_ms as starts_ms,
        e.event_latest_ms as ends_ms
    from {{ words.in_scope('stg_events', 'e', ['user_id'], of='int_funnel_steps') }}
    where e.event_type in ({{ funnel.event_types | values }})
    union all
    select u.user_id, '(signup_date)', '', u.signup_ms, u.signup_latest_ms
    from {{ words.in_scope('stg_users', 'u', ['user_id'], of='int_funnel_steps') }}
    union all
    select u.user_id, '(first_visit_date)', '', u.first_visit_ms, u.first_visit_latest_ms
    from {{ words.in_scope('stg_users', 'u', ['user_id'], of='int_funnel_steps') }}
    where u.first_visit_ms is not null
),

{% if funnel.counts_active_days %}
active_days as (
    select distinct e.user_id, e.event_day as activity_day
    from {{ words.in_scope('stg_events', 'e', ['user_id'], of='int_funnel_steps') }}
    where e.is_meaningful = 1
),

{% endif %}
{% for step in steps %}
{% set name, before = step.name, none if loop.first else loop.previtem.name %}
-- The step {{ name }}: the moments that may reach it, the first that does, and its time.
{{ name }}_moments as (
    {% if step.any_of %}
    select user_id, moment_id, starts_ms, ends_ms
    from moments
    where moment in ({{ step.any_of | values }}{% for date in step.or_user_date %}, '({{ date }})'{% endfor %})
    {% if step.implied_by %}
    union all
    -- An event that implies this step may reach the next step as well: without an id it does not count as used.
    select user_id, '', starts_ms, ends_ms
    from moments
    where moment in ({{ step.implied_by | values }})
    {% endif %}
    {% elif step.all_of %}
    -- The first event of each type counts; the last of these completes the step.
    select user_id, moment, moment_id, starts_ms, ends_ms
    from moments
    where moment in ({{ step.all_of | values }})
    {% elif step.active_days %}
    -- The last of {{ step.active_days.days }} active days within {{ step.active_days.window_days }} days, none before the previous step.
    select
        user_id,
        '' as moment_id,
        activity_day * {{ day_ms }} as starts_ms,
        activity_day * {{ day_ms }} + {{ day_ms - 1 }} as ends_ms,
        first_day * {{ day_ms }} + {{ day_ms - 1 }} as first_day_ends_ms
    from (
        select
            user_id,
            activity_day,
            lag(activity_day, {{ step.active_days.days - 1 }}) over (partition by user_id order by activity_day) as first_day
        from active_days
    ) as stretches
    where activity_day - first_day < {{ step.active_days.window_days }}
    {% else %}
    -- A subscription at a price above {{ step.subscription.mrr_above }} counts from the day of its first payment.
    select
        c.user_id,
        c.subscription_id as moment_id,
        c.paid_day * {{ day_ms }} as starts_ms,
        c.paid_day * {{ day_ms }} + {{ day_ms - 1 }} as ends_ms
    from {{ words.in_scope('stg_subscriptions', 'c', ['user_id'], of='int_funnel_steps') }}
    where c.paid_mrr > {{ step.subscription.mrr_above }}
    {% endif %}
),

{{ name }}_firsts as (
    select
        m.user_id,
        m.moment_id,
        m.starts_ms,
        m.ends_ms,
        {% if before %}
        b.reached_ms as before_ms,
        {% endif %}
        {% if step.of %}
        w.ends_ms + {{ step.within_days * day_ms }} as closes_ms,
        {% endif %}
        -- The first moment is the one that ends first: a date-only timestamp is not before other moments of its day.
        row_number() over (
            partition by m.user_id{{ ', m.moment' if step.all_of }} order by m.ends_ms, m.moment_id
        ) as place
    from {{ name }}_moments as m
    {% if before %}
    -- At or after the previous step.
    inner join reached_{{ before }} as b
        on m.user_id = b.user_id and b.reached_ms <= m.{{ 'first_day_ends_ms' if step.active_days else 'ends_ms' }}
    {% endif %}
    {% if step.of %}
    -- Within {{ step.within_days }} days of {{ step.of }}, counted from the end of the day for a date-only timestamp.
    inner join reached_{{ step.of }} as w
        on m.user_id = w.user_id{{ ' and m.starts_ms <= w.ends_ms + ' ~ step.within_days * day_ms if not step.all_of }}
    {% endif %}
    {% for other in steps[:loop.index0] if other.events | select('in', step.events) | list %}
    -- An event reaches at most one step.
    left join {{ other.name }}_firsts as used_by_{{ other.name }}
        on m.user_id = used_by_{{ other.name }}.user_id and m.moment_id = used_by_{{ other.name }}.moment_id
        and m.moment_id <> '' and {{ words.is_first('used_by_' ~ other.name ~ '.place') }}
    {% endfor %}
    {% for other in steps[:loop.index0] if other.events | select('in', step.events) | list %}
    {{ 'where' if loop.first else 'and' }} used_by_{{ other.name }}.user_id is null
    {% endfor %}
),

reached_{{ name }} as (
    {% if step.all_of %}
    select
        user_id,
        {{ db.greatest('max(starts_ms)', 'max(before_ms)') }} as reached_ms,
        max(ends_ms) as ends_ms
    from {{ name }}_firsts
    where {{ words.is_first('place') }}
    group by user_id
    having count(*) = {{ step.all_of | length }}{{ ' and max(starts_ms) <= max(closes_ms)' if step.of }}
    {% else %}
    select user_id, {{ db.greatest('starts_ms', 'before_ms') if before else 'starts_ms' }} as reached_ms, ends_ms
    from {{ name }}_firsts
    where {{ words.is_first('place') }}
    {% endif %}
),

{% endfor %}
first_visits as (
    -- If a date or a signup gives the time of the first visit, a date-only event of that day may give the channel.
    select
        v.user_id,
        case when v.moment_id <> '' then v.moment_id else (
            select min(e.event_id)
            from stg_events as e
            where v.moment_id = ''
                and e.user_id = v.user_id
                and e.event_day = {{ db.day_of_ms('v.starts_ms') }}
                and e.event_ms <= v.starts_ms
                and e.event_type in ({{ first.any_of | values }})
        ) end as event_id
    from {{ first.name }}_firsts as v
    where {{ words.is_first('v.place') }}
)

select
    v.user_id,
    {{ db.month_of_day(db.day_of_ms('reached_' ~ funnel.cohort_step ~ '.reached_ms')) }} as cohort_month,
    -- The channel of the first visit, else the channel of the user row.
    coalesce(e.utm_source, u.utm_source, '(none)') as utm_source,
    coalesce(case when e.utm_source is null then u.utm_campaign else e.utm_campaign end, '(none)') as utm_campaign,
    {% for step in steps %}
    {{ db.at_of_ms('reached_' ~ step.name ~ '.reached_ms') }} as {{ step.name }}_at{{ ',' if not loop.last }}
    {% endfor %}
from first_visits as v
{% for step in steps %}
left join reached_{{ step.name }} on v.user_id = reached_{{ step.name }}.user_id
{% endfor %}
left join stg_events as e on v.event_id = e.event_id
left join stg_users as u on v.user_id = u.user_id
where reached_{{ funnel.cohort_step }}.reached_ms is not null
