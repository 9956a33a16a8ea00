-- An event is staged again when a batch of the run holds a row of it, or held the one that counted,
select event_id from raw_events where batch_date in (select batch_date from {{ words.batches() }}) and event_id is not null
union
select event_id from stg_events where batch_date in (select batch_date from {{ words.batches() }})
union
-- or when it was that of an id that now is somebody else's,
select e.event_id
from {{ words.changed('int_identities') }} as c
{{ db.join }} stg_events as e on c.id = e.user_id
union
-- or of a person who has lost an id.
select e.event_id
from {{ words.changed('int_identities') }} as c
{{ db.join }} stg_events as e on c.person_id = e.user_id
