-- A person's steps are found again when an event that a step looks at came, went or changed,
select user_id
from {{ words.changed('stg_events') }}
where event_type in ({{ words.funnel_event_types() }})
union
-- or the user's own row,
select user_id from {{ words.changed('stg_users') }}
union
-- or a subscription of theirs.
select user_id from {{ words.changed('stg_subscriptions') }}
