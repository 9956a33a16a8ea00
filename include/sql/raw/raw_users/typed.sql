-- Every raw user row with its text parsed, and the reason if it is rejected.
{% set q = definitions.quality %}
with texts as (
    select
        batch_date,
        source_file,
        source_row,
        user_id,
        trim(signup_date, ' ') as signup_text,
        nullif(trim(first_visit_date, ' '), '') as first_visit_text,
        nullif(trim(email, ' '), '') as email,
        nullif(trim(utm_source, ' '), '') as utm_source,
        nullif(trim(utm_campaign, ' '), '') as utm_campaign,
        {{ db.day_of_date('batch_date') }} as batch_day
    from {{ rows }}
),

read_users as (
    select
        *,
        {{ db.moment_ms('signup_text') }} as signup_ms,
        {{ db.moment_ms('first_visit_text') }} as first_visit_ms
    from texts{{ db.fence }}
)

select
    batch_date,
    source_file,
    source_row,
    user_id,
    signup_ms,
    case when length(signup_text) = 10 then 1 else 0 end as is_signup_date_only,
    first_visit_ms,
    case when length(first_visit_text) = 10 then 1 else 0 end as is_first_visit_date_only,
    email,
    utm_source,
    utm_campaign,
    case
        when {{ words.real_id('user_id') }} is null then 'no user id'
        when {{ db.has_blanks_around('user_id') }} then 'blanks around the user id'
        when {{ words.is_too_long('user_id') }} then 'user id too long'
        when signup_ms is null then 'unreadable signup date'
        when {{ db.day_of_ms('signup_ms') }} > batch_day + {{ q.event_days_ahead }} then 'signup date in the future'
        when {{ db.day_of_ms('signup_ms') }} < {{ day(q.earliest_date) }} then 'signup date too long ago'
        when first_visit_text is not null and first_visit_ms is null then 'unreadable first visit date'
        when {{ db.day_of_ms('first_visit_ms') }} > batch_day + {{ q.event_days_ahead }}
            then 'first visit date in the future'
        when {{ db.day_of_ms('first_visit_ms') }} < {{ day(q.earliest_date) }} then 'first visit date too long ago'
    end as reject_reason
from read_users
