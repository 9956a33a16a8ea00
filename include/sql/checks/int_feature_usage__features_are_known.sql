-- A used feature stands in the dictionary, and was used at least once.
select f.user_id, f.activity_date, f.feature_name, f.uses
from scope__int_feature_usage as s
{{ db.join }} int_feature_usage as f on s.activity_day = f.activity_day and s.user_id = f.user_id
where f.feature_name not in ({{ definitions.features.names | values }}) or f.uses < 1
