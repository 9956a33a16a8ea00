{#- Rows of a table that the statements of a run pick. -#}

{#- Those whose key is among those of another table, without reading the rest of the table. -#}
{%- macro with_keys(table, columns, keys, key) -%}
select t.{{ columns | join(', t.') }}
from {{ keys }} as k
{{ db.join }} {{ table }} as t
{% for column in key %}
    {{ 'on' if loop.first else 'and' }} t.{{ column }} = k.{{ column }}
{% endfor %}
{%- endmacro -%}

{#- All when a run computes everything again, otherwise none, and then none is read. -#}
{%- macro all_if_everything(table, columns) -%}
select t.{{ columns | join(', t.') }}
from run_state as r
cross join {{ table }} as t
where r.everything = 1
{%- endmacro -%}

{#- Those of incoming that the table has already, the same in every column. -#}
{%- macro kept(table, columns, key, told) -%}
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
