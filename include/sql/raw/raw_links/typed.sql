-- Every raw link row with its text parsed, and the reason if it is rejected.
{% set q = definitions.quality %}
{% set ids = ('user_id', 'anonymous_id', 'other_user_id', 'other_anonymous_id') %}
with texts as (
    select
        batch_date,
        source_file,
        source_row,
        link_id,
        trim(linked_at, ' ') as linked_text,
        {% for id in ids %}
        {{ words.real_id("trim(" ~ id ~ ", ' ')") }} as {{ id }},
        {% endfor %}
        {{ db.day_of_date('batch_date') }} as batch_day
    from {{ rows }}
),

read_links as (
    select *, {{ db.moment_ms('linked_text') }} as linked_ms
    from texts{{ db.fence }}
)

select
    batch_date,
    source_file,
    source_row,
    link_id,
    linked_ms,
    user_id,
    anonymous_id,
    other_user_id,
    other_anonymous_id,
    case
        when linked_ms is null then 'unreadable link date'
        when {{ db.day_of_ms('linked_ms') }} > batch_day + {{ q.event_days_ahead }} then 'link date in the future'
        when {{ db.day_of_ms('linked_ms') }} < {{ day(q.earliest_date) }} then 'link date too long ago'
        when (user_id is null or coalesce(anonymous_id, other_user_id) is null)
            and (anonymous_id is null or other_anonymous_id is null) then 'links no two ids'
        when {% for id in ids %}
{{ words.is_too_long(id) }}{{ ' or ' if not loop.last }}
{%- endfor %} then 'user id too long'
    end as reject_reason
from read_links
