-- Users are counted again where one of them came, went or changed.
select distinct activity_day, cohort_month, days_since_active, new_user_days_left from {{ words.changed('int_user_engagement') }}
