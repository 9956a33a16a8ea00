-- An event is staged again when a batch of the run holds a row of it, or held the one that counted,
select event_id from raw_events where batch_date in (select batch_date from {{ words.batches() }}) and event_id is not null
union
select event_id from stg_events where batch_date in (select batch_date from {{ words.batches() }})
union
-- or when it was that of an id that now is somebody else's,
select event_id from stg_events where user_id in (select id from {{ words.changed('int_identities') }})
union
-- or of a person who has lost an id.
select event_id from stg_events where user_id in (select person_id from {{ words.changed('int_identities') }})
