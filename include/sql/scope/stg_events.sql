-- An event is staged again when a batch of the run holds a row of it, or held the one that counted.
select event_id from raw_events where batch_date in (select batch_date from scope_batches) and event_id is not null
union
select event_id from stg_events where batch_date in (select batch_date from scope_batches)
