{#- The arrivals of stg_events behind the first one, found where whole columns are read, or all rows in any case: few ids
    have any, and numbers tell which may. To number the arrivals of all ids would be the dearest part of a first load. -#}
repeated as (
    select {{ db.hashed('event_id') }} as hashed
    from raw_events
    {% if not whole %}
    where {{ db.hashed('event_id') }} in (select {{ db.hashed('event_id') }} from work_scope__stg_events)
    {% endif %}
    group by hashed
    having count(*) > 1
),

again as (
    select r.* from raw_events as r
    where {{ db.hashed('r.event_id') }} in (select hashed from repeated)
),

typed_again as (
{{ typed('raw_events', 'again') }}
),

numbered as (
    select
        batch_date,
        source_file,
        source_row,
        row_number() over (partition by event_id order by batch_date, source_file, source_row) as arrival_number
    from typed_again
    where reject_reason is null
),

later_arrivals as (
    select batch_date, source_file, source_row
    from numbered
    where arrival_number > 1
),

