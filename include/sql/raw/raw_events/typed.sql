-- Every raw event row with its text parsed, and the reason if it is rejected.
{% set q = definitions.quality %}
{% set day_ms = 86400000 %}
{% set last_ms = (q.event_days_ahead + 1) * day_ms - 1 %}
with texts as (
    select
        batch_date,
        source_file,
        source_row,
        event_id,
        {{ words.real_id('user_id') }} as user_id,
        {{ words.real_id('anonymous_id') }} as anonymous_id,
        nullif({{ db.trimmed('event_type') }}, '') as event_type,
        nullif({{ db.trimmed('feature_name') }}, '') as feature_name,
        nullif({{ db.trimmed('utm_source') }}, '') as utm_source,
        nullif({{ db.trimmed('utm_campaign') }}, '') as utm_campaign,
        coalesce(nullif({{ db.trimmed('event_timestamp') }}, ''), {{ db.trimmed('event_date') }}) as event_text,
        {{ db.day_of_date('batch_date') }} as batch_day
    from {{ rows }}
),

read_events as (
    select
        *,
        {{ db.moment_ms('event_text') }} as event_ms,
        case when length(event_text) = 10 then 1 else 0 end as is_date_only
    from texts{{ db.fence }}
)

select
    batch_date,
    source_file,
    source_row,
    event_id,
    user_id,
    anonymous_id,
    event_type,
    feature_name,
    utm_source,
    utm_campaign,
    event_ms,
    is_date_only,
    case
        when event_id is null or {{ db.is_blank('event_id') }} then 'no event id'
        when user_id is null and anonymous_id is null then 'no user id'
        when {{ db.has_blanks_around('user_id') }} or {{ db.has_blanks_around('anonymous_id') }} then 'blanks around the user id'
        when {{ words.is_too_long('user_id') }} or {{ words.is_too_long('anonymous_id') }} then 'user id too long'
        when event_type is null then 'no event type'
        when event_type not in ({{ definitions.events.types | values }}) then 'unknown event type'
        when event_type = 'feature_used' and feature_name is null then 'no feature'
        when feature_name not in ({{ definitions.features.names | values }}) then 'unknown feature'
        -- Nearly every row ends here: the conditions before this one cost most of the staging of events.
        when event_ms between {{ day(q.earliest_date) * day_ms }} and batch_day * {{ day_ms }} + {{ last_ms }} then null
        when event_ms is null then 'unreadable event date'
        when event_ms > batch_day * {{ day_ms }} then 'event date in the future'
        else 'event date too long ago'
    end as reject_reason
from read_events
