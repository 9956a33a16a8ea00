with ids as (
    -- All user ids of each person.
    select user_id as person_id, user_id from work_scope__stg_users
    union
    select i.person_id, i.id
    from {{ words.in_scope('int_identities', 'i', {'user_id': 'person_id'}, of='stg_users') }}
),

arrived as (
    select r.*
    from (select distinct user_id from ids) as p
    inner join raw_users as r on p.user_id = r.user_id
),

typed as (
{{ typed('raw_users', 'arrived') }}
),

arrivals as (
    select
        p.person_id,
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
        -- The last arrival of each user id counts.
        row_number() over (
            partition by t.user_id
            order by t.batch_date desc, t.source_file desc, t.source_row desc
        ) as place_from_last
    from typed as t
    inner join ids as p on t.user_id = p.user_id
    left join int_identities as i on p.user_id = i.id
    where {{ words.is_accepted('t') }} and {{ db.likely('coalesce(i.person_id, p.user_id) = p.person_id') }}
),

signups as (
    -- The user id with the earliest signup counts for its person.
    select
        *,
        row_number() over (partition by person_id order by signup_ms, user_id) as place
    from arrivals
    where {{ words.is_first('place_from_last') }}
)

select
    person_id as user_id,
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
from signups
where {{ words.is_first('place') }}
