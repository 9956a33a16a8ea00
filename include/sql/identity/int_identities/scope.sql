-- An id is recomputed when one of its links is added or removed,
with recursive linked as (
    select id from {{ words.changed('int_id_links') }}
    {% if definitions.identity.anonymous_rows == 'components' %}
    union
    -- when it had the same person as such an id, since a device that too many users share no longer unites them,
    select o.id
    from {{ words.changed('int_id_links') }} as c
    inner join int_identities as i on c.id = i.id
    inner join int_identities as o on i.person_id = o.person_id
    union
    select o.id
    from {{ words.changed('int_id_links') }} as c
    inner join int_identities as o on c.id = o.person_id
    {% endif %}
),

-- or when it is linked to a recomputed id, or is a device on which a recomputed user was seen.
touched (id) as (
    select id from linked
    union
    select l.other_id
    from touched as t
    inner join int_id_links as l on t.id = l.id
    where l.kind = 'seen_on' or {{ words.unites('l') }}
)

select id from touched
