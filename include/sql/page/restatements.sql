-- The ledger of restatements: each cell that changed after it was final.
{# counted, searched, descending: no | yes #}
{# sort: as_of_date | table_name | row_key | column_name | old_value | new_value | cause #}
select {% if counted %}count(*) as cells{% else %}as_of_date, table_name, row_key, column_name, old_value, new_value, cause{% endif %}

from restatements
{% if searched %}
where lower(table_name) like :pattern escape '!'
    or lower(row_key) like :pattern escape '!'
    or lower(column_name) like :pattern escape '!'
    or lower(cause) like :pattern escape '!'
{% endif %}
{% if not counted %}
order by
    case when {{ sort }} is null then 1 else 0 end asc,
    {{ sort }} {{ 'desc' if descending else 'asc' }},
    as_of_date desc, table_name asc, row_key asc, column_name asc
limit :size offset :start
{% endif %}
