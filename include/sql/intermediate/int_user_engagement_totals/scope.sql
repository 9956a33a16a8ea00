-- A group of users is recomputed when an active day of one of them is added, removed or changed.
select distinct activity_day, cohort_month, days_since_active, new_user_days_left from {{ words.changed('int_user_engagement') }}
