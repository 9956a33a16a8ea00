-- Every score is from 0 to 100 and has a status.
select user_id, overall_health_score, health_status
from work_building__dim_user_health
where overall_health_score is null or overall_health_score not between 0 and 100.0000001
    or health_status is null
