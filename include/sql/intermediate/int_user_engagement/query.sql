{% set month = definitions.active.month_days %}
with {% include 'intermediate/int_user_engagement/by_' ~ db.reads_by ~ '.sql' %}
-- Who has not been there as long as anybody looks back has been away for so long, like who has never been there.
select
    activity_day,
    user_id,
    {{ db.date_of_day('activity_day') }} as activity_date,
    {{ db.month_of_day('activity_day') }} as activity_month,
    cohort_month,
    coalesce(gap_days, {{ words.looks_back() }}) as days_since_active,
    -- For so many days from a user's first one on they count as new.
    case when gap_days is null then {{ db.greatest(month ~ ' + signup_day - activity_day', 0) }} else 0 end as new_days,
    new_features,
    events
from absences
