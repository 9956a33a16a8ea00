-- No signup is before the earliest date of the dictionary or after the arrival of its row.
select u.user_id, u.signup_date, u.batch_date
from {{ words.in_scope('stg_users', 'u', ['user_id']) }}
where u.signup_day < {{ day(definitions.quality.earliest_date) }}
    or u.signup_day > {{ db.day_of_date('u.batch_date') }} + {{ definitions.quality.event_days_ahead }}
