-- An event has an id, a user, a type and a time.
select e.event_id, e.user_id, e.event_type, e.event_at
from {{ words.in_scope('stg_events', 'e', ['event_id']) }}
where {{ db.is_blank('e.event_id') }} or {{ db.is_blank('e.user_id') }}
    or e.event_type is null or e.event_at is null or e.event_day is null
