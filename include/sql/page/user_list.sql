-- Users who need a call, with the reason: those at risk, or those ready for more.
{% set reason = 'at_risk_reason' if flag == 'is_at_risk' else 'upsell_reason' %}
{% set days = 'active_days_' ~ definitions.health.window_days ~ 'd' %}
select
    {% if counted %}
    count(*) as users
    {% else %}
    h.user_id,
    u.email,
    h.plan_name,
    h.cohort_month,
    h.last_active_date,
    h.{{ days }} as active_days,
    h.features_used,
    h.overall_health_score,
    h.{{ reason }} as reason
    {% endif %}
from dim_user_health as h
{% if not counted or (searched and sees_emails) %}
left join stg_users as u on h.user_id = u.user_id
{% endif %}
where h.{{ flag }} = 1
    {% if searched %}
    and (
        lower(h.user_id) like {{ db.param('pattern') }} escape '!'
        or lower(h.plan_name) like {{ db.param('pattern') }} escape '!'
        or lower(h.{{ reason }}) like {{ db.param('pattern') }} escape '!'
        {% if sees_emails %}
        or lower(u.email) like {{ db.param('pattern') }} escape '!'
        {% endif %}
    )
    {% endif %}
{% if not counted %}
order by
    case when {{ sort }} is null then 1 else 0 end,
    {{ sort }}{{ ' desc' if descending }},
    h.user_id
limit {{ db.param('size') }} offset {{ db.param('start') }}
{% endif %}
