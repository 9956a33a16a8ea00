-- A user's day is recomputed when one of its feature events is added, removed or changed,
select user_id, event_day as activity_day
from {{ words.changed('stg_events') }}
where event_type = 'feature_used'
union
-- or when the user's row changes, since activity counts from the signup on.
select user_id, event_day
from stg_events
where event_type = 'feature_used' and user_id in (select user_id from {{ words.changed('stg_users') }})
