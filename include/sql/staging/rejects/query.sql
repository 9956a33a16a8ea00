{% for table in raw_tables %}
{{ 'with' if loop.first else '' }} arrived_{{ table[4:] }} as (
    select r.*
    from {{ words.in_scope(table, 'r', ['batch_date'], of='rejects') }}
),

typed_rows_{{ table[4:] }} as (
{{ typed(table, 'arrived_' ~ table[4:]) }}
),

rejected_{{ table[4:] }} as (
    select
        '{{ table }}' as table_name,
        t.batch_date,
        t.source_file,
        t.source_row,
        t.reject_reason
    from typed_rows_{{ table[4:] }} as t
    where t.reject_reason is not null
),
{% endfor %}
contents as (
    {% for table, columns in raw_tables.items() %}
    select
        r.table_name,
        r.batch_date,
        r.source_file,
        r.source_row,
        r.reject_reason,
        {{ db.json_row(columns) }} as content
    from rejected_{{ table[4:] }} as r
    left join {{ table }} using (batch_date, source_file, source_row)
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}
)

select
    table_name,
    batch_date,
    source_file,
    source_row,
    reject_reason,
    content
from contents
