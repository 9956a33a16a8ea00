-- Users are counted again where one of them came, went or changed.
select distinct activity_day, cohort_month, days_since_active, new_days from {{ words.changed('int_user_engagement') }}
