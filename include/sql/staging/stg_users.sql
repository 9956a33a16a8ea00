-- Everybody who signed up, as last heard of: the latest arrival of each user.
-- grain: user_id
-- scope: user_id
-- changes: user_id, signup_day, signup_month
-- indexes: batch_date; signup_month; signup_day
-- words: signup
with arrivals as (
    select
        t.user_id,
        t.signup_ms,
        t.is_signup_date_only,
        {{ db.day_of_ms('t.signup_ms') }} as signup_day,
        t.first_visit_ms,
        t.is_first_visit_date_only,
        t.email,
        t.utm_source,
        t.utm_campaign,
        t.batch_date,
        t.source_file,
        t.source_row,
        row_number() over (
            partition by t.user_id
            order by t.batch_date desc, t.source_file desc, t.source_row desc
        ) as arrivals_after
    from scope__stg_users as s
    {{ db.join }} typed_users as t on s.user_id = t.user_id
    where t.reject_reason is null
)

select
    user_id,
    {{ db.date_of_day('signup_day') }} as signup_date,
    {{ db.month_of_day('signup_day') }} as signup_month,
    signup_day,
    signup_ms,
    signup_ms + is_signup_date_only * 86399999 as signup_latest_ms,
    first_visit_ms,
    first_visit_ms + is_first_visit_date_only * 86399999 as first_visit_latest_ms,
    email,
    utm_source,
    utm_campaign,
    batch_date,
    source_file,
    source_row
from arrivals
where arrivals_after = 1
