-- A user is staged again when a batch of the run holds a row of theirs, or held the one that counted.
select user_id from raw_users where batch_date in (select batch_date from scope_batches) and user_id is not null
union
select user_id from stg_users where batch_date in (select batch_date from scope_batches)
