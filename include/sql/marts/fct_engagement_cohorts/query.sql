with cohorts as (
    select signup_month as cohort_month, count(*) as cohort_size
    from stg_users
    group by signup_month
),

months as (
    select
        m.month as activity_month,
        m.month_number,
        {{ db.least('m.last_day', 'r.as_of_day') }} - m.first_day + 1 as days_observed,
        case when m.last_day <= r.as_of_day then 1 else 0 end as is_complete,
        m.first_day,
        {{ db.least('m.last_day', 'r.as_of_day') }} as last_day
    from work_scope__fct_engagement_cohorts as s
    inner join calendar_months as m on s.activity_month = m.month
    inner join run_state as r on m.month <= r.as_of_month
),

activity as (
    -- A user counts on their first active day of the month: the previous active day lies before the month.
    select
        t.cohort_month,
        m.activity_month,
        sum(case when t.activity_day - t.days_since_active < m.first_day then t.users else 0 end) as active_users,
        sum(t.users) as active_user_days,
        sum(t.new_features) as features_used
    from months as m
    inner join int_user_engagement_totals as t on t.activity_day between m.first_day and m.last_day
    group by t.cohort_month, m.activity_month
)

select
    c.cohort_month,
    m.month_number - b.month_number as months_since_signup,
    m.activity_month,
    c.cohort_size,
    coalesce(a.active_users, 0) as active_users,
    coalesce(a.active_user_days, 0) as active_user_days,
    coalesce(a.features_used, 0) as features_used,
    m.days_observed,
    {{ db.ratio('coalesce(a.active_users, 0)', 'c.cohort_size') }} as retention_rate,
    {{ db.ratio('coalesce(a.active_user_days, 0)', 'm.days_observed') }} as avg_dau,
    {{ db.ratio('coalesce(a.active_user_days, 0)', 'm.days_observed * a.active_users') }} as stickiness,
    {{ db.ratio('coalesce(a.features_used, 0)', 'a.active_users') }} as avg_features_used,
    m.is_complete
from months as m
inner join cohorts as c on c.cohort_month <= m.activity_month
inner join calendar_months as b on c.cohort_month = b.month
left join activity as a on c.cohort_month = a.cohort_month and m.activity_month = a.activity_month
