-- Every event that counts, once: the earliest arrival of each event id, since events do not change.
-- grain: event_id
-- scope: event_id
-- changes: user_id, event_day, event_type
-- cluster: user_id, event_day, event_id
-- indexes: batch_date
-- words: events, active
with arrivals as (
    select
        t.event_id,
        t.user_id,
        t.event_type,
        t.feature_name,
        t.event_ms,
        t.is_date_only,
        t.utm_source,
        t.utm_campaign,
        t.batch_date,
        t.source_file,
        t.source_row,
        row_number() over (
            partition by t.event_id
            order by t.batch_date, t.source_file, t.source_row
        ) as arrival_number
    from scope__stg_events as s
    {{ db.join }} typed_events as t on s.event_id = t.event_id
    where t.reject_reason is null
)

select
    event_id,
    user_id,
    event_type,
    case when event_type in ({{ definitions.active.meaningful_events | values }}) then 1 else 0 end as is_meaningful,
    feature_name,
    {{ db.at_of_ms('event_ms') }} as event_at,
    {{ db.date_of_day(db.day_of_ms('event_ms')) }} as event_date,
    {{ db.day_of_ms('event_ms') }} as event_day,
    event_ms,
    event_ms + is_date_only * 86399999 as event_latest_ms,
    utm_source,
    utm_campaign,
    batch_date,
    source_file,
    source_row
from arrivals
where arrival_number = 1
