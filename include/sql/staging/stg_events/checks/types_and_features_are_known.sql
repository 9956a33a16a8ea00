-- Every event type and feature is in the dictionary.
select e.event_id, e.event_type, e.feature_name
from {{ words.in_scope('stg_events', 'e', ['event_id']) }}
where e.event_type not in ({{ definitions.events.types | values }})
    or e.feature_name not in ({{ definitions.features.names | values }})
    or (e.event_type = 'feature_used' and e.feature_name is null)
