-- How many users there are of each status, by parts of the score; who scores 100 is in the last part.
select
    health_status,
    case when overall_health_score < 100 then floor(overall_health_score / {{ points }}) * {{ points }}
        else 100 - {{ points }} end as from_score,
    count(*) as users,
    sum(is_paying) as paying,
    sum(is_at_risk) as at_risk,
    sum(is_upsell_ready) as upsell_ready
from dim_user_health
group by 1, 2
order by 1, 2
