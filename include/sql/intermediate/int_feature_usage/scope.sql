-- A user's day is counted again when an event of it came, went or changed,
select user_id, event_day as activity_day
from {{ words.changed('stg_events') }}
where event_type = 'feature_used'
union
-- or when the user did: activity counts from the signup on, in the cohort of its month.
select user_id, event_day
from stg_events
where event_type = 'feature_used' and user_id in (select user_id from {{ words.changed('stg_users') }})
