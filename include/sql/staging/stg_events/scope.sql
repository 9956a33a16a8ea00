-- An event is recomputed when a batch in scope holds one of its rows or held the row that counted,
select event_id from raw_events where batch_date in (select batch_date from {{ words.batches() }}) and event_id is not null
union
select event_id from stg_events where batch_date in (select batch_date from {{ words.batches() }})
union
-- when the id that it belonged to now has another person,
select event_id from stg_events where user_id in (select id from {{ words.changed('int_identities') }})
union
-- or when its person has gained or lost an id.
select event_id from stg_events where user_id in (select person_id from {{ words.changed('int_identities') }})
