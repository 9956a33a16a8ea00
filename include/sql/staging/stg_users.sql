-- Everybody who signed up, as last heard of: the latest arrival of each user.
-- grain: user_id
-- scope: user_id
-- changes: user_id, signup_day, signup_month
-- indexes: batch_date; signup_month; signup_day
-- words: signup
with arrivals as (
    select
        t.*,
        row_number() over (
            partition by t.user_id
            order by t.batch_date desc, t.source_file desc, t.source_row desc
        ) as arrivals_after
    from scope__stg_users as s
    inner join typed_users as t on s.user_id = t.user_id
    where t.reject_reason is null
)

select
    user_id,
    {{ db.date_of_day('signup_day') }} as signup_date,
    {{ db.month_of_day('signup_day') }} as signup_month,
    signup_day,
    signup_ms,
    signup_latest_ms,
    first_visit_ms,
    first_visit_latest_ms,
    email,
    utm_source,
    utm_campaign,
    batch_date,
    source_file,
    source_row
from arrivals
where arrivals_after = 1
