-- All rejects of the batches in scope.
select batch_date from {{ words.batches() }}
