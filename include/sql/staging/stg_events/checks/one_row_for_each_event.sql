-- An event id has one row.
{% set rows = words.in_scope('stg_events', 'e', ['event_id']) %}
select e.event_id, count(*) as event_rows
from {{ rows }}
{% if db.reads_by == 'columns' %}
-- Numbers that are there once are found at a fraction of what text costs.
where {{ db.hashed('e.event_id') }} in (
    select {{ db.hashed('e.event_id') }}
    from {{ rows }}
    group by {{ db.hashed('e.event_id') }}
    having count(*) > 1
)
{% endif %}
group by e.event_id
having count(*) > 1
