-- A person's steps are recomputed when an event that a step uses,
select user_id
from {{ words.changed('stg_events') }}
where event_type in ({{ words.funnel_event_types() }})
union
-- the person's user row
select user_id from {{ words.changed('stg_users') }}
union
-- or one of their subscriptions is added, removed or changed.
select user_id from {{ words.changed('stg_subscriptions') }}
