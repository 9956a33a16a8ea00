-- A day is recomputed when the active users of a day in its lookback window change,
{% set month = definitions.active.month_days %}
with numbers as (
{{ words.numbers([31, 2 * month] | max) }}
),

changed_days as (
    select distinct activity_day from {{ words.changed('int_user_engagement_totals') }}
)

select {{ db.date_of_day('t.activity_day + n.number') }} as activity_date
from changed_days as t
inner join numbers as n on n.number < {{ 2 * month }}
inner join run_state as r on t.activity_day + n.number <= r.as_of_day
union
-- or when the as-of day reaches or passes it.
select {{ db.date_of_day('m.first_day + n.number') }}
from run_state as r
inner join calendar_months as m on m.first_day <= r.as_of_day and m.last_day > r.published_day
inner join numbers as n
    on m.first_day + n.number <= m.last_day
    and m.first_day + n.number > r.published_day and m.first_day + n.number <= r.as_of_day
