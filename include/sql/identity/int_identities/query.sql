{% set begin, end = '-9000000000000000', '9000000000000000' %}
with recursive reached (id, other_id) as (
    -- All ids that links lead to, however many stand between.
    select id, id as other_id from work_scope__int_identities
    union
    select r.id, l.other_id
    from reached as r
    {{ db.join }} int_id_links as l on r.other_id = l.id
    where {{ words.unites('l') }}
),

seen as (
    -- Every time that a user was seen on a device, or on one that is the same.
    select r.id, l.linked_ms, l.other_id as user_id
    from reached as r
    {{ db.join }} int_id_links as l on r.other_id = l.id and l.kind = 'seen_user'
    where {{ words.is_device('r.id') }} = 1
),

users (id, other_id) as (
    -- The same for the users who were seen.
    select user_id as id, user_id as other_id from seen
    union
    select u.id, l.other_id
    from users as u
    {{ db.join }} int_id_links as l on u.other_id = l.id and l.kind = 'same'
),

named as (
    -- A group has the name of its least user id that is nobody's alias.
    select
        m.id,
        m.other_id as person_id,
        row_number() over (
            partition by m.id
            order by {{ words.is_device('m.other_id') }}, (
                select count(*) from int_id_links as l
                where l.id = m.other_id and l.kind = 'same' and l.is_alias = 1
            ) > 0, m.other_id
        ) as place
    from (
        select id, other_id from reached
        union
        select id, other_id from users
    ) as m
),

{% include 'identity/int_identities/turns.sql' %}

select
    t.id,
    t.from_ms,
    lead(t.from_ms, 1, {{ end }}) over (partition by t.id order by t.from_ms) as until_ms,
    t.person_id
from work_scope__int_identities as s
inner join turns as t on s.id = t.id
where t.person_id <> t.id
