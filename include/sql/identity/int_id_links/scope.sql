-- Links belong to their batch.
select batch_date from {{ words.batches() }}
