with arrived_links as (
    select r.*
    from {{ words.in_scope('raw_links', 'r', ['batch_date'], of='int_id_links') }}
),

arrived_events as (
    select r.*
    from {{ words.in_scope('raw_events', 'r', ['batch_date'], of='int_id_links') }}
    where r.anonymous_id is not null and r.user_id is not null
),

typed_rows_links as (
{{ typed('raw_links', 'arrived_links') }}
),

typed_rows_events as (
{{ typed('raw_events', 'arrived_events') }}
),

links as (
    select
        t.batch_date,
        t.linked_ms,
        t.user_id,
        {{ words.device('t.anonymous_id') }} as device_id,
        t.other_user_id,
        {{ words.device('t.other_anonymous_id') }} as other_device_id
    from typed_rows_links as t
    where t.reject_reason is null
),

sightings as (
    -- Every link or event that names both a user and a device.
    select batch_date, linked_ms, user_id, device_id
    from links
    where user_id is not null and device_id is not null
    union
    select t.batch_date, t.event_ms, t.user_id, {{ words.device('t.anonymous_id') }}
    from typed_rows_events as t
    where t.anonymous_id is not null and t.user_id is not null and t.reject_reason is null
),

unions as (
    select batch_date, user_id as id, other_user_id as alias_id from links where user_id <> other_user_id
    union
    select batch_date, device_id, other_device_id from links where device_id <> other_device_id
),

both_sides as (
    select device_id as id, 'seen_user' as kind, user_id as other_id, linked_ms, 0 as is_alias, batch_date
    from sightings
    union
    select user_id, 'seen_on', device_id, 0, 0, batch_date from sightings
    union
    select id, 'same', alias_id, 0, 0, batch_date from unions
    union
    select alias_id, 'same', id, 0, 1, batch_date from unions
)

select
    id,
    kind,
    other_id,
    linked_ms,
    is_alias,
    batch_date
from both_sides
