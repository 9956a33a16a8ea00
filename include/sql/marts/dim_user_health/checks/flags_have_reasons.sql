-- Every flag is 0 or 1, and a flag of 1 belongs to a paying user and has a reason.
select user_id, is_paying, is_at_risk, at_risk_reason, is_upsell_ready, upsell_reason
from work_building__dim_user_health
where is_paying not in (0, 1) or is_at_risk not in (0, 1) or is_upsell_ready not in (0, 1)
    or (is_paying = 0 and (is_at_risk = 1 or is_upsell_ready = 1))
    or (is_at_risk = 1) <> (at_risk_reason is not null)
    or (is_upsell_ready = 1) <> (upsell_reason is not null)
    or (is_paying = 1 and plan_name is null)
