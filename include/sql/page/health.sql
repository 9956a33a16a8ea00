-- Users by score, status and flags. The columns are grouped in the order of an index, so that only the index is read.
select is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score, count(*) as users
from dim_user_health
group by is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score
