-- In each batch of each table, the rows landed are the rows staged plus duplicates plus rejects.
{# The counts of the view batch_accounting for the batches in scope: a column store would compute the whole view. #}
with links as (
    select t.batch_date, t.reject_reason
    from (
{{ typed('raw_links', '(select r.* from ' ~ words.of_batches('raw_links', 'r') ~ ') as links_in_scope') }}
    ) as t
),

counted as (
    {% for raw, staged in {'raw_users': 'stg_users', 'raw_events': 'stg_events', 'raw_subscriptions': 'stg_subscriptions'}.items() %}
    select '{{ raw }}' as table_name, s.batch_date, 1 as is_staged, 0 as is_duplicate, 0 as is_rejected
    from {{ words.of_batches(staged, 's') }}
    union all
    -- A duplicate is not rejected, and another row of its id counts.
    select '{{ raw }}', t.batch_date, 0, 1, 0
    from {{ words.of_batches(raw, 't') }}
    {% if raw == 'raw_users' %}
    left join int_identities as i on t.user_id = i.id
    inner join {{ staged }} as s on coalesce(i.person_id, t.user_id) = s.user_id
    {% else %}
    inner join {{ staged }} as s on t.{{ raw_tables[raw][0] }} = s.{{ raw_tables[raw][0] }}
    {% endif %}
    left join rejects as j
        on t.batch_date = j.batch_date and j.table_name = '{{ raw }}'
        and t.source_file = j.source_file and t.source_row = j.source_row
    where (t.batch_date, t.source_file, t.source_row) <> (s.batch_date, s.source_file, s.source_row)
        and j.batch_date is null
    union all
    {% endfor %}
    select 'raw_links', b.batch_date, 1, 0, 0
    from links as b
    where b.reject_reason is null
    union all
    select j.table_name, j.batch_date, 0, 0, 1
    from {{ words.of_batches('rejects', 'j') }}
),

sums as (
    select
        table_name,
        batch_date,
        sum(is_staged) as rows_staged,
        sum(is_duplicate) as rows_duplicate,
        sum(is_rejected) as rows_rejected
    from counted
    group by table_name, batch_date
)

select b.batch_date, b.table_name, b.rows_landed, s.rows_staged, s.rows_duplicate, s.rows_rejected
from {{ words.of_batches('raw_batches', 'b') }}
left join sums as s on b.batch_date = s.batch_date and b.table_name = s.table_name
where b.rows_landed <> coalesce(s.rows_staged + s.rows_duplicate + s.rows_rejected, 0)
