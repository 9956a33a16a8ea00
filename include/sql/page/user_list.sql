-- Users who need a call, with the reason: users at risk, or users ready for an upsell.
{# counted, searched, descending, sees_emails: no | yes #}
{# flag: is_at_risk | is_upsell_ready #}
{# sort: h.user_id | u.email | h.plan_name | h.cohort_month | h.last_active_date | h.overall_health_score #}
{% set reason = 'at_risk_reason' if flag == 'is_at_risk' else 'upsell_reason' %}
{% set days = 'active_days_' ~ definitions.health.window_days ~ 'd' %}
{% set by_email = (searched and sees_emails) or (not counted and sort == 'u.email') %}
{% set in_order -%}
{% if not counted %}
case when {{ sort }} is null then 1 else 0 end asc, {{ sort }} {{ 'desc' if descending else 'asc' }}, h.user_id asc
{%- endif %}
{%- endset %}
with listed as (
    -- E-mail addresses are joined to the users that are shown; to all users only if a search or the sort order needs them.
    select {{ 'count(*) as users' if counted else 'h.user_id' }}
    from dim_user_health as h
    {% if by_email %}
    left join stg_users as u on h.user_id = u.user_id
    {% endif %}
    where h.{{ flag }} = 1
        {% if flag != 'is_at_risk' %}
        -- The index of the flags starts with this column.
        and h.is_at_risk in (0, 1)
        {% endif %}
        {% if searched %}
        and (
            lower(h.user_id) like :pattern escape '!'
            {% if not sees_emails %}
            -- Ids that are e-mail addresses are not searched, so that a search cannot reveal them letter by letter.
            and h.user_id not like '%@%'
            {% endif %}
            or lower(h.plan_name) like :pattern escape '!'
            or lower(h.{{ reason }}) like :pattern escape '!'
            {% if sees_emails %}
            or lower(u.email) like :pattern escape '!'
            {% endif %}
        )
        {% endif %}
    {% if not counted %}
    order by {{ in_order }}
    limit :size offset :start
    {% endif %}
)

{% if counted %}
select users from listed
{% else %}
select
    h.user_id,
    u.email,
    h.plan_name,
    h.cohort_month,
    h.last_active_date,
    h.{{ days }} as active_days,
    h.features_used,
    h.overall_health_score,
    h.{{ reason }} as reason
from listed as l
inner join dim_user_health as h on l.user_id = h.user_id
left join stg_users as u on h.user_id = u.user_id
order by {{ in_order }}
{% endif %}
