-- Three example rows of a raw table, of different kinds if it has several.
{# table: raw_users | raw_events | raw_subscriptions | raw_links #}
{% set kind = {'raw_events': 'event_type', 'raw_subscriptions': 'status'}.get(table, raw_tables[table][0]) %}
with numbered as (
    select
        batch_date,
        source_file,
        source_row,
        {{ raw_tables[table] | join(',\n        ') }},
        row_number() over (partition by {{ kind }} order by batch_date, source_file, source_row) as row_of_kind
    from {{ table }}
)

select
    batch_date,
    {{ raw_tables[table] | join(',\n    ') }}
from numbered
order by row_of_kind, batch_date, source_file, source_row
limit 3
