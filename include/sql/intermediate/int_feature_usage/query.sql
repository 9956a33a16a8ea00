with used_features as (
    select e.event_day as activity_day, e.user_id, e.feature_name, u.signup_month as cohort_month, count(*) as uses
    from {{ words.in_scope('stg_events', 'e', {'user_id': 'user_id', 'activity_day': 'event_day'}, of='int_feature_usage') }}
    inner join stg_users as u on e.user_id = u.user_id
    where e.event_type = 'feature_used' and {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.event_day, e.feature_name, u.signup_month
)

select
    activity_day,
    user_id,
    feature_name,
    {{ db.date_of_day('activity_day') }} as activity_date,
    {{ db.month_of_day('activity_day') }} as activity_month,
    cohort_month,
    uses
from used_features
