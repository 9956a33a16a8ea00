-- Every feature is in the dictionary and was used at least once.
select f.user_id, f.activity_date, f.feature_name, f.uses
from {{ words.in_scope('int_feature_usage', 'f', ['activity_day', 'user_id']) }}
where f.feature_name not in ({{ definitions.features.names | values }}) or f.uses < 1
