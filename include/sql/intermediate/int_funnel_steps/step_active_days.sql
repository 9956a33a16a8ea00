{#- A step of int_funnel_steps that being active on several days reaches. -#}
active_days_{{ step.name }} as (
    -- With each active day the one {{ step.active_days.days - 1 }} active days before it.
    select
        p.{{ so_far | join(', p.') }},
        d.day,
        lag(d.day, {{ step.active_days.days - 1 }}) over (partition by p.user_id order by d.day) as back
    from after_{{ before.name }} as p
    left join active_days as d
        on p.user_id = d.user_id and {{ db.day_of_ms('p.' ~ before.name ~ '_ms') }} <= d.day
),

ranked_{{ step.name }} as (
    -- The first day that is the last of {{ step.active_days.days }} active days within {{ step.active_days.window_days }}.
    select
        p.{{ so_far | join(', p.') }},
        case when p.day - p.back < {{ step.active_days.window_days }} then p.day * 86400000 end as at_ms,
        case when p.day - p.back < {{ step.active_days.window_days }} then p.day * 86400000 + 86399999 end as latest_ms,
        row_number() over (
            partition by p.user_id
            order by case when p.day - p.back < {{ step.active_days.window_days }} then 0 else 1 end, p.day
        ) as place
    from active_days_{{ step.name }} as p
),

