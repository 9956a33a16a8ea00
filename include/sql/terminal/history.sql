-- The rows of a table that no run can compute again: to copy them, or to delete the copies of an earlier attempt.
{# table: raw_users | raw_events | raw_subscriptions | raw_links | raw_batches | unmapped_events | work_erased | restatements | check_results | run_steps #}
{# delete: no | yes #}
{{ 'delete' if delete else 'select *' }} from {{ table }}
