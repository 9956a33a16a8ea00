{#- One step of int_funnel_steps: candidates are the moments that may reach it, the first of them in time does. -#}
{% set rivals = earlier | selectattr('events') | list if step.events else [] %}
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
    {% elif step.all_of %}
    -- Each of the events, once the step before is reached; the last of them completes the step.
    select user_id, '' as moment_id, max(at_ms) as at_ms, max(latest_ms) as latest_ms
    from (
        select m.user_id, m.moment, min(m.at_ms) as at_ms, min(m.latest_ms) as latest_ms
        from moments as m
        inner join reached_{{ before.name }} as p on m.user_id = p.user_id and m.latest_ms >= p.at_ms
        {% for rival in rivals %}
        inner join reached_{{ rival.name }} as u{{ loop.index }}
            on m.user_id = u{{ loop.index }}.user_id and m.moment_id <> u{{ loop.index }}.moment_id
        {% endfor %}
        where m.moment in ({{ step.all_of | values }})
        group by m.user_id, m.moment
    ) as firsts
    group by user_id
    having count(*) = {{ step.all_of | length }}
    {% elif step.active_days %}
    -- The day that is the last of {{ step.active_days.days }} active days within {{ step.active_days.window_days }}.
    select user_id, '' as moment_id, day * 86400000 as at_ms, day * 86400000 + 86399999 as latest_ms
    from (
        select user_id, day, lag(day, {{ step.active_days.days - 1 }}) over (partition by user_id order by day) as back
        from (
            select distinct m.user_id, m.at_day as day
            from moments as m
            inner join reached_{{ before.name }} as p
                on m.user_id = p.user_id and m.at_day >= {{ db.day_of_ms('p.at_ms') }}
            where m.is_meaningful = 1
        ) as active_days
    ) as runs_of_days
    where day - back < {{ step.active_days.window_days }}
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

reached_{{ step.name }} as (
    select user_id, moment_id, at_ms, latest_ms
    from (
        select
            c.user_id,
            c.moment_id,
            {{ db.greatest('c.at_ms', 'p.at_ms') ~ ' as at_ms' if before else 'c.at_ms' }},
            c.latest_ms,
            row_number() over (partition by c.user_id order by c.latest_ms, c.moment_id) as place
        from candidates_{{ step.name }} as c
        {% if before %}
        inner join reached_{{ before.name }} as p
            on c.user_id = p.user_id and c.latest_ms >= p.at_ms
        {% endif %}
        {% for rival in rivals %}
        -- An event reaches one step.
        inner join reached_{{ rival.name }} as u{{ loop.index }}
            on c.user_id = u{{ loop.index }}.user_id
            and (c.moment_id = '' or c.moment_id <> u{{ loop.index }}.moment_id)
        {% endfor %}
        {% if step.of %}
        -- Days are counted from the end of a day that has no time.
        inner join reached_{{ step.of }} as o
            on c.user_id = o.user_id and c.at_ms <= o.latest_ms + {{ step.within_days }} * 86400000
        {% endif %}
    ) as ranked
    where place = 1
),
