-- A user's day is recomputed when one of its meaningful events is added, removed or changed,
with changed_days as (
    select user_id, event_day as activity_day
    from {{ words.changed('stg_events') }}
    where event_type in ({{ definitions.active.meaningful_events | values }})
    union
    -- or when the user's row changes, since activity counts from the signup on and belongs to the cohort of the signup month,
    select user_id, event_day
    from stg_events
    where is_meaningful = 1 and user_id in (select user_id from {{ words.changed('stg_users') }})
),

-- together with the user's next active day, which holds the number of days since this one,
next_days as (
    select d.user_id, min(e.event_day) as activity_day
    from changed_days as d
    inner join stg_events as e
        on d.user_id = e.user_id
        and e.event_day between d.activity_day + 1 and d.activity_day + {{ words.lookback_days() }}
    where e.is_meaningful = 1
    group by d.user_id, d.activity_day
)

select user_id, activity_day from changed_days
union
select user_id, activity_day from next_days
union
-- and with later days of the month, on one of which a feature may now be new.
select e.user_id, e.event_day
from {{ words.changed('stg_events') }} as c
inner join stg_events as e
    on c.user_id = e.user_id and e.event_day between c.event_day + 1 and c.event_day + 30
    and {{ db.month_of_day('e.event_day') }} = {{ db.month_of_day('c.event_day') }}
where c.event_type = 'feature_used' and e.event_type = 'feature_used'
