-- An id is looked at again when a link of it came or went,
with recursive linked as (
    select id from {{ words.changed('int_id_links') }}
    {% if definitions.identity.anonymous_rows == 'components' %}
    union
    -- when it had the same person as such an id: a device that is shared now unites them no longer,
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

-- or when it is linked with one that is; a device also when a user is who was seen on it.
touched (id) as (
    select id from linked
    union
    select l.other_id
    from touched as t
    inner join int_id_links as l on t.id = l.id
    where l.kind = 'seen_on' or {{ words.unites('l') }}
)

select id from touched
