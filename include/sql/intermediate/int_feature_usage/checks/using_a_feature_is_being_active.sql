-- A user is active on every day on which they use a feature.
select f.user_id, f.activity_date, f.feature_name
from {{ words.in_scope('int_feature_usage', 'f', ['activity_day', 'user_id']) }}
left join int_user_engagement as e on f.activity_day = e.activity_day and f.user_id = e.user_id
where e.user_id is null
