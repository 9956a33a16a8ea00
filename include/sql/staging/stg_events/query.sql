with arrived as (
    select r.*
    from {{ words.in_scope('raw_events', 'r', ['event_id'], of='stg_events') }}
),

typed as (
{{ typed('raw_events', 'arrived') }}
),

-- Events do not change: if several accepted rows have the same id, the earliest arrival is the event. Few ids arrive
-- more than once, so only these are sorted by arrival. (Numbering the arrivals of all ids makes a first load longer.)
repeated as (
    select r.*
    from raw_events as r
    where r.event_id in (
        select a.event_id
        from {{ words.in_scope('raw_events', 'a', ['event_id'], of='stg_events') }}
        group by a.event_id
        having count(*) > 1
    )
),

typed_repeated as (
{{ typed('raw_events', 'repeated') }}
),

arrivals as (
    select
        t.batch_date,
        t.source_file,
        t.source_row,
        row_number() over (partition by t.event_id order by t.batch_date, t.source_file, t.source_row) as arrival_number
    from typed_repeated as t
    where {{ words.is_accepted('t') }}
),

counting as (
    select t.*, coalesce(t.user_id, {{ words.device('t.anonymous_id') }}) as id
    from typed as t
    where {{ words.is_accepted('t') }}
        -- With `not in`, SQLite would compare each row with every row of the subquery.
        and case when (t.batch_date, t.source_file, t.source_row) in (
            select batch_date, source_file, source_row from arrivals where arrival_number > 1
        ) then 0 else 1 end = 1
)

select
    c.event_id,
    -- The person of the id at that moment.
    coalesce(i.person_id, c.id) as user_id,
    c.event_type,
    case when c.event_type in ({{ definitions.active.meaningful_events | values }}) then 1 else 0 end as is_meaningful,
    c.feature_name,
    {{ db.at_of_ms('c.event_ms') }} as event_at,
    {{ db.date_of_day(db.day_of_ms('c.event_ms')) }} as event_date,
    {{ db.day_of_ms('c.event_ms') }} as event_day,
    c.event_ms,
    -- A date-only timestamp covers its whole day, so its latest moment is the end of the day.
    c.event_ms + c.is_date_only * 86399999 as event_latest_ms,
    c.utm_source,
    c.utm_campaign,
    c.batch_date,
    c.source_file,
    c.source_row
from counting as c
left join int_identities as i on c.id = i.id and i.from_ms <= c.event_ms and c.event_ms < i.until_ms
