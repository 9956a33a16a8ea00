{#- Selections of rows for the statements of a run. -#}

{#- Rows whose key is in another table, without a scan of the rest. -#}
{%- macro with_keys(table, columns, keys, key) -%}
select t.{{ columns | join(', t.') }}
from {{ keys }} as k
{{ db.join }} {{ table }} as t
{% for column in key %}
    {{ 'on' if loop.first else 'and' }} t.{{ column }} = k.{{ column }}
{% endfor %}
{%- endmacro -%}

{#- All rows of a mart if the run computes the whole table; otherwise none, without a scan. -#}
{%- macro all_if_whole(table, columns) -%}
select t.{{ columns | join(', t.') }}
from work_table_state as w
cross join {{ table }} as t
where w.table_name = '{{ table }}' and w.whole_because is not null
{%- endmacro -%}

{#- Rows of incoming that the table already has with the same values. -#}
{%- macro unchanged(table, columns, key, told) -%}
select t.{{ told | join(', t.') }}
from incoming as i
{{ db.join }} {{ table }} as t
{% for column in key %}
    {{ 'on' if loop.first else 'and' }} i.{{ column }} = t.{{ column }}
{% endfor %}
{% for column in columns if column not in key %}
{{ 'where' if loop.first else '    and' }} not ({{ db.differs('i.' ~ column, 't.' ~ column) }})
{% endfor %}
{%- endmacro -%}
