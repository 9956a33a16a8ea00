-- A user's day is counted again when an event of it came, went or changed,
{% if db.reads_by == 'columns' %}
{% include 'intermediate/int_user_engagement/scope_by_columns.sql' %}
{% else %}
with changed_days as (
    select user_id, event_day as activity_day
    from {{ words.changed('stg_events') }}
    where event_type in ({{ definitions.active.meaningful_events | values }})
    union
    -- or when the user did: activity counts from the signup on, in the cohort of its month.
    select e.user_id, e.event_day
    from {{ words.changed('stg_users') }} as u
    {{ db.join }} stg_events as e on u.user_id = e.user_id
    where e.is_meaningful = 1
),

-- then the next active day, which says how long before it they were active,
next_days as (
    select t.user_id, (
        select min(e.event_day)
        from stg_events as e
        where e.user_id = t.user_id
            and e.event_day > t.activity_day
            and e.event_day <= t.activity_day + {{ words.looks_back() }}
            and e.is_meaningful = 1
    ) as activity_day
    from changed_days as t
)

select user_id, activity_day from changed_days
union
select user_id, activity_day from next_days where activity_day is not null
union
-- and the days in the rest of the month: on one of them a feature is used first.
select e.user_id, e.event_day
from {{ words.changed('stg_events') }} as c
{{ db.join }} stg_events as e
    on c.user_id = e.user_id and e.event_day > c.event_day and e.event_day < c.event_day + 31
    and {{ db.month_of_day('e.event_day') }} = {{ db.month_of_day('c.event_day') }}
where c.event_type = 'feature_used' and e.event_type = 'feature_used'
{% endif %}
