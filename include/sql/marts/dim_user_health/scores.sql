{#- The end of dim_user_health: from what a user did to points, a status, and who needs a call. -#}
facts as (
    select
        u.user_id,
        u.cohort_month,
        u.as_of_day - u.signup_day as days_since_signup,
        u.as_of_day - u.ever_active_day as days_since_active,
        u.ever_active_day as last_active_day,
        p.plan_name,
        coalesce(p.is_paying, 0) as is_paying,
        u.active_days,
        u.features_used,
        {% for week in range(up.weeks) %}
        {{ '+ ' if not loop.first }}case when u.active_days_week_{{ week }} >= {{ up.active_days_each_week }} then 1 else 0 end
        {% endfor %}
        as steady_weeks
    from activity as u
    left join dearest_plans as p on u.user_id = p.user_id
),

scores as materialized (
    select
        *,
        {{ db.real(h.active_days.points) }} * {{ db.least('active_days', h.active_days.target) }} / {{ h.active_days.target }}
        + {{ db.real(h.features.points) }} * {{ db.least('features_used', h.features.target) }} / {{ h.features.target }}
        + {{ db.real(h.recency.points) }} * coalesce({{ db.greatest(h.window_days ~ ' - days_since_active', 0) }}, 0)
        / {{ h.window_days }}
        + {{ db.real(h.plan.points) }} * case
            {% for plan, share in h.plan.share.items() %}
            when is_paying = 1 and plan_name = '{{ plan }}' then {{ db.real(share) }}
            {% endfor %}
            else {{ db.real('0.0') }}
        end as overall_health_score
    from facts
),

flags as (
    select
        *,
        case when is_paying = 1 and overall_health_score < {{ db.real(definitions.at_risk.below_score) }}
            and days_since_signup >= {{ definitions.at_risk.after_signup_days }} then 1 else 0 end as is_at_risk,
        case when is_paying = 1 and plan_name in ({{ up.plans | values }})
            and active_days >= {{ up.active_days }} and features_used >= {{ up.features }}
            and steady_weeks >= {{ up.weeks }} then 1 else 0 end as is_upsell_ready
    from scores
)

select
    user_id,
    cohort_month,
    plan_name,
    is_paying,
    {{ db.date_of_day('last_active_day') }} as last_active_date,
    active_days as active_days_{{ h.window_days }}d,
    features_used,
    overall_health_score,
    case
        {% for status in h.statuses %}
        when overall_health_score >= {{ db.real(status.from_score) }} then '{{ status.name }}'
        {% endfor %}
    end as health_status,
    is_at_risk,
    case when is_at_risk = 1
        then plan_name || ': active on ' || active_days || ' of {{ h.window_days }} days, ' || features_used || ' features'
    end as at_risk_reason,
    is_upsell_ready,
    case when is_upsell_ready = 1
        then plan_name || ': active on ' || active_days || ' of {{ h.window_days }} days, in each of {{ up.weeks }} weeks, '
            || features_used || ' features'
    end as upsell_reason
from flags
