{% set rule = definitions.identity.anonymous_rows %}
{% set begin, end = '-9000000000000000', '9000000000000000' %}
with recursive reached (id, other_id) as (
    -- All ids that are linked directly or through other ids.
    select id, id as other_id from work_scope__int_identities
    union
    select r.id, l.other_id
    from reached as r
    inner join int_id_links as l on r.other_id = l.id
    where {{ words.unites('l') }}
),

seen as (
    -- Every time that a user was seen on a device or on a device that is linked to it.
    select r.id, l.linked_ms, l.other_id as user_id
    from reached as r
    inner join int_id_links as l on r.other_id = l.id and l.kind = 'seen_user'
    where {{ words.is_device('r.id') }} = 1
),

users (id, other_id) as (
    -- All ids that are linked to these users.
    select user_id as id, user_id as other_id from seen
    union
    select u.id, l.other_id
    from users as u
    inner join int_id_links as l on u.other_id = l.id and l.kind = 'same'
),

named as (
    -- A group is named after its smallest user id that is not an alias.
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

{% if rule == 'components' %}
turns as (
    select id, {{ begin }} as from_ms, person_id from named where place = 1
)
{% else %}
sightings as (
    -- One person for each moment.
    select s.id, s.linked_ms, max(n.person_id) as person_id
    from seen as s
    inner join named as n on s.user_id = n.id and n.place = 1
    group by s.id, s.linked_ms
),

devices as (
    -- A device that too many people share identifies none of them.
    select id, min(linked_ms) as first_ms, max(linked_ms) as last_ms
    from sightings
    group by id
    having count(distinct person_id) <= {{ definitions.identity.max_users }}
),

turns as (
    select n.id, {{ begin }} as from_ms, n.person_id
    from named as n
    left join devices as d on n.id = d.id
    where n.place = 1 and d.id is null
    union all
    {% if rule == 'last_user_so_far' %}
    -- A user's period starts at the sighting that follows another user's; the first user's period has no start.
    select id, case when before_id is null then {{ begin }} else linked_ms end, person_id
    from (
        select
            s.id,
            s.linked_ms,
            s.person_id,
            lag(s.person_id) over (partition by s.id order by s.linked_ms) as before_id
        from devices as d
        inner join sightings as s on d.id = s.id
    ) as in_order
    where before_id is null or before_id <> person_id
    {% else %}
    select s.id, {{ begin }}, s.person_id
    from devices as d
    inner join sightings as s
        on d.id = s.id and s.linked_ms = d.{{ 'last_ms' if rule == 'last_user' else 'first_ms' }}
    {% endif %}
)
{% endif %}

select
    t.id,
    t.from_ms,
    lead(t.from_ms, 1, {{ end }}) over (partition by t.id order by t.from_ms) as until_ms,
    t.person_id
from work_scope__int_identities as s
inner join turns as t on s.id = t.id
where t.person_id <> t.id
