{% set health, upsell = definitions.health, definitions.upsell_ready %}
{% set subscriptions = definitions.subscriptions %}
with users as (
    select u.user_id, u.signup_month as cohort_month, u.signup_day, r.as_of_day
    from {{ words.in_scope('stg_users', 'u', ['user_id'], of='dim_user_health') }}
    cross join run_state as r
),

-- The activity of each user in the {{ health.window_days }} days that end with the as-of day. The days of all users are
-- read: rows are stored by day, and most users in scope have some.
window_days as (
    select
        e.user_id,
        count(*) as active_days,
        max(e.activity_day) as last_active_day,
        {% for week in range(upsell.weeks) %}
        -- Weeks are seven days, counted back from the as-of day.
        sum(case when r.as_of_day - e.activity_day between {{ 7 * week }} and {{ 7 * week + 6 }} then 1 else 0 end)
            as active_days_week_{{ week }}{{ ',' if not loop.last }}
        {% endfor %}
    from run_state as r
    inner join int_user_engagement as e
        on e.activity_day between r.as_of_day - {{ health.window_days - 1 }} and r.as_of_day
    group by e.user_id
),

window_features as (
    select f.user_id, count(distinct f.feature_name) as features_used
    from run_state as r
    inner join int_feature_usage as f
        on f.activity_day between r.as_of_day - {{ health.window_days - 1 }} and r.as_of_day
    group by f.user_id
),

-- The last active day of users without one in the window.
earlier_days as (
    select u.user_id, max(e.event_day) as last_active_day
    from users as u
    inner join stg_events as e on u.user_id = e.user_id
    where u.user_id not in (select user_id from window_days)
        and e.event_day <= u.as_of_day and {{ words.is_active('e', 'e.event_day', 'u') }}
    group by u.user_id
),

-- A subscription runs on the as-of day if it has started and has not ended. Without an end date, its status tells
-- whether it has ended. A subscription whose first payment was never made does not run.
running_subscriptions as (
    select
        c.user_id,
        c.plan_name,
        c.is_paying,
        -- A user has one plan: a paid one before a trial, then the higher price, then the later start.
        row_number() over (
            partition by c.user_id order by c.is_paying desc, c.mrr desc, c.start_day desc, c.subscription_id asc
        ) as place
    from users as u
    inner join stg_subscriptions as c on u.user_id = c.user_id
    where c.start_day <= u.as_of_day
        and c.status not in ({{ subscriptions.having("never") | values }})
        and (
            c.end_day > u.as_of_day
            or (c.end_day is null and c.status not in ({{ subscriptions.having("ended") | values }}))
        )
),

facts as (
    select
        u.user_id,
        u.cohort_month,
        u.as_of_day - u.signup_day as days_since_signup,
        coalesce(d.last_active_day, l.last_active_day) as last_active_day,
        u.as_of_day - coalesce(d.last_active_day, l.last_active_day) as days_since_active,
        s.plan_name,
        coalesce(s.is_paying, 0) as is_paying,
        coalesce(d.active_days, 0) as active_days,
        coalesce(f.features_used, 0) as features_used,
        -- A steady week has at least {{ upsell.active_days_each_week }} active days.
        {% for week in range(upsell.weeks) %}
        {{ '+ ' if not loop.first }}case when d.active_days_week_{{ week }} >= {{ upsell.active_days_each_week }} then 1 else 0 end
        {% endfor %}
        as steady_weeks
    from users as u
    left join window_days as d on u.user_id = d.user_id
    left join window_features as f on u.user_id = f.user_id
    left join earlier_days as l on u.user_id = l.user_id
    left join running_subscriptions as s on u.user_id = s.user_id and s.place = 1
),

-- Each part gives all of its points at its target and proportionally fewer below it. Recency gives all points for
-- activity on the as-of day and none without activity in the window. Only paying users get the share of their plan.
scores as (
    select
        *,
        {{ db.real(health.active_days.points) }} * {{ db.least('active_days', health.active_days.target) }} / {{ health.active_days.target }}
        + {{ db.real(health.features.points) }} * {{ db.least('features_used', health.features.target) }} / {{ health.features.target }}
        + {{ db.real(health.recency.points) }}
        * coalesce({{ db.greatest(health.window_days ~ ' - days_since_active', 0) }}, 0) / {{ health.window_days }}
        + {{ db.real(health.plan.points) }} * case
            {% for plan, share in health.plan.share.items() %}
            when is_paying = 1 and plan_name = '{{ plan }}' then {{ db.real(share) }}
            {% endfor %}
            else {{ db.real('0.0') }}
        end as overall_health_score
    from facts
),

flags as (
    select
        *,
        -- At risk: a paying user with a low score whose first {{ definitions.at_risk.after_signup_days }} days are over.
        case
            when is_paying = 1 and overall_health_score < {{ db.real(definitions.at_risk.below_score) }}
                and days_since_signup >= {{ definitions.at_risk.after_signup_days }} then 1
            else 0
        end as is_at_risk,
        -- Ready for an upsell: a paying user on one of the plans of upsell_ready with enough active days, features and
        -- {{ upsell.weeks }} steady weeks.
        case
            when is_paying = 1 and plan_name in ({{ upsell.plans | values }})
                and active_days >= {{ upsell.active_days }} and features_used >= {{ upsell.features }}
                and steady_weeks >= {{ upsell.weeks }} then 1
            else 0
        end as is_upsell_ready
    from scores
)

select
    user_id,
    cohort_month,
    plan_name,
    is_paying,
    {{ db.date_of_day('last_active_day') }} as last_active_date,
    active_days as active_days_{{ health.window_days }}d,
    features_used,
    overall_health_score,
    -- The first status of the dictionary whose from_score is reached.
    case
        {% for status in health.statuses %}
        when overall_health_score >= {{ db.real(status.from_score) }} then '{{ status.name }}'
        {% endfor %}
    end as health_status,
    is_at_risk,
    case when is_at_risk = 1
        then plan_name || ': active on ' || active_days || ' of {{ health.window_days }} days, ' || features_used || ' features'
    end as at_risk_reason,
    is_upsell_ready,
    case when is_upsell_ready = 1
        then plan_name || ': active on ' || active_days || ' of {{ health.window_days }} days, in each of {{ upsell.weeks }} weeks, '
            || features_used || ' features'
    end as upsell_reason
from flags
