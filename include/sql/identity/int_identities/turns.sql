{#- The end of int_identities: who has each id, and from when, by the rule of the dictionary. -#}
{% set rule = definitions.identity.anonymous_rows %}
{% if rule == 'components' %}
turns as (
    select id, {{ begin }} as from_ms, person_id from named where place = 1
)
{% else %}
sightings as (
    -- At one moment, one person.
    select s.id, s.linked_ms, max(n.person_id) as person_id
    from seen as s
    inner join named as n on s.user_id = n.id and n.place = 1
    group by s.id, s.linked_ms
),

devices as (
    -- What too many people share says of nobody who they are.
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
    -- Each user's time begins with a first sighting; the first user's with the first row of the device.
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
