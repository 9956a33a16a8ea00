-- An id is looked at again when a link of it came or went, or one of an id that it is linked with; a device also when a
-- user did who was seen on it.
with recursive touched (id) as (
    select id from changed__int_id_links
    union
    select l.other_id
    from touched as t
    {{ db.join }} int_id_links as l on t.id = l.id
    where l.kind = 'seen_on' or {{ words.unites('l') }}
)

select id from touched
