{#- The same rules where whole columns are read: days beside each other instead of one looked up for each. -#}
with touched as (
    select user_id from work_changed__stg_users
    union
    select user_id from work_changed__stg_events
    where event_type in ({{ definitions.active.meaningful_events | values }})
),

known_days as (
    select user_id, event_day as activity_day, 1 as is_changed, 0 as is_there
    from work_changed__stg_events
    where event_type in ({{ definitions.active.meaningful_events | values }})
    union all
    -- Activity counts from the signup on, in the cohort of its month.
    select e.user_id, e.event_day, case when e.user_id in (select user_id from work_changed__stg_users) then 1 else 0 end, 1
    from stg_events as e
    where e.is_meaningful = 1 and e.user_id in (select user_id from touched)
),

days as (
    select user_id, activity_day, max(is_changed) as is_changed, max(is_there) as is_there
    from known_days
    group by user_id, activity_day
),

pairs as (
    select
        *,
        lag(is_changed) over days_of_user as is_before_changed,
        activity_day - lag(activity_day) over days_of_user as days_before
    from days
    window days_of_user as (partition by user_id order by activity_day)
),

changed_months as (
    select user_id, {{ db.month_of_day('event_day') }} as month, min(event_day) as first_day
    from work_changed__stg_events
    where event_type = 'feature_used'
    group by user_id, month
)

-- Days that changed, and the next one, which says how long before it the user was active,
select user_id, activity_day
from pairs
where is_changed = 1 or (is_there = 1 and is_before_changed = 1 and days_before <= {{ words.looks_back() }})
union
-- and the days in the rest of the month: on one of them a feature is used first.
select e.user_id, e.event_day
from changed_months as c
inner join stg_events as e on c.user_id = e.user_id and e.event_day > c.first_day
    and {{ db.month_of_day('e.event_day') }} = c.month
where e.event_type = 'feature_used'
