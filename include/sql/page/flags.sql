-- How many users pay, may leave, may want more.
select is_at_risk, is_upsell_ready, is_paying, count(*) as users
from dim_user_health
group by is_at_risk, is_upsell_ready, is_paying
