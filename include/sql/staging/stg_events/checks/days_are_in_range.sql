-- No event is before the earliest date of the dictionary or after the arrival of its row.
select e.event_id, e.event_date, e.batch_date
from {{ words.in_scope('stg_events', 'e', ['event_id']) }}
where e.event_day < {{ day(definitions.quality.earliest_date) }}
    or e.event_day > {{ db.day_of_date('e.batch_date') }} + {{ definitions.quality.event_days_ahead }}
