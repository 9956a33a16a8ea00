-- How many users there are of each score and what they are. In the order of the table's index, which alone is read.
select is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score, count(*) as users
from dim_user_health
group by is_at_risk, is_upsell_ready, is_paying, health_status, overall_health_score
