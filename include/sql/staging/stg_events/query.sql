{% set by_numbers = whole or db.reads_by == 'columns' %}
with arrived as (
    {% if by_numbers and not whole %}
    -- Numbers are faster to find than ids; an id beside the scope that shares one comes out as it is in the table.
    select r.*
    from raw_events as r
    where {{ db.hashed('r.event_id') }} in (select {{ db.hashed('event_id') }} from work_scope__stg_events)
    {% else %}
    select r.*
    from {{ words.in_scope('raw_events', 'r', ['event_id'], of='stg_events') }}
    {% endif %}
),

typed as (
{{ typed('raw_events', 'arrived') }}
),

{% if by_numbers %}
{% include 'staging/stg_events/later_arrivals.sql' %}
{% endif %}
arrivals as (
    select
        t.event_id,
        coalesce(t.user_id, {{ words.device('t.anonymous_id') }}) as id,
        t.event_type,
        t.feature_name,
        t.event_ms,
        t.is_date_only,
        t.utm_source,
        t.utm_campaign,
        t.batch_date,
        t.source_file,
        t.source_row,
        {% if by_numbers %}
        case when (t.batch_date, t.source_file, t.source_row) in (
            select batch_date, source_file, source_row from later_arrivals
        ) then 2 else 1 end as arrival_number
        {% else %}
        row_number() over (partition by t.event_id order by t.batch_date, t.source_file, t.source_row) as arrival_number
        {% endif %}
    from typed as t
    where {{ db.likely('t.reject_reason is null') }}
)

-- The person is whoever was behind the id at that moment.
select
    a.event_id,
    coalesce(i.person_id, a.id) as user_id,
    a.event_type,
    case when a.event_type in ({{ definitions.active.meaningful_events | values }}) then 1 else 0 end as is_meaningful,
    a.feature_name,
    {{ db.at_of_ms('a.event_ms') }} as event_at,
    {{ db.date_of_day(db.day_of_ms('a.event_ms')) }} as event_date,
    {{ db.day_of_ms('a.event_ms') }} as event_day,
    a.event_ms,
    a.event_ms + a.is_date_only * 86399999 as event_latest_ms,
    a.utm_source,
    a.utm_campaign,
    a.batch_date,
    a.source_file,
    a.source_row
from arrivals as a
left join int_identities as i on a.id = i.id and i.from_ms <= a.event_ms and a.event_ms < i.until_ms
where {{ db.likely('a.arrival_number = 1') }}
