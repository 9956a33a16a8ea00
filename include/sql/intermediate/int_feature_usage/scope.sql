-- A user's day is counted again when an event of it came, went or changed,
select user_id, event_day as activity_day
from {{ words.changed('stg_events') }}
where event_type = 'feature_used'
union
-- or when the user did: activity counts from the signup on, in the cohort of its month.
select e.user_id, e.event_day
from {{ words.changed('stg_users') }} as u
{{ db.join }} stg_events as e on u.user_id = e.user_id
where e.event_type = 'feature_used'
