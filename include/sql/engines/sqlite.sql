{#- SQLite: the words in which it differs from other engines. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{%- macro param(name) -%} :{{ name }} {%- endmacro -%}

{#- Milliseconds since 1970-01-01 of text that is a date, or a date and a time (UTC where no offset stands);
    null for other text, and for a day that no calendar has. -#}
{%- macro moment_ms(text) -%}
case when {{ text }} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9]*[0-9Zz]'
        and (substr({{ text }}, 9, 2) <= '28' or date(substr({{ text }}, 1, 10), '+0 days') = substr({{ text }}, 1, 10))
    then cast(round((julianday({{ to_the_ms(text) }}) - 2440587.5) * 86400000) as integer)
end
{%- endmacro -%}
{#- SQLite rounds to the millisecond, which may be the next day's: what is finer is cut off before. -#}
{%- macro to_the_ms(text) -%}
case when substr({{ text }}, 20, 1) = '.' and substr({{ text }}, 24, 1) glob '[0-9]'
    then substr({{ text }}, 1, 23) || ltrim(substr({{ text }}, 24), '0123456789') else {{ text }} end
{%- endmacro -%}

{%- macro day_of_ms(ms) -%} cast(floor({{ ms }} / 86400000.0) as integer) {%- endmacro -%}
{%- macro at_of_ms(ms) -%} strftime('%Y-%m-%d %H:%M:%S', {{ ms }} / 1000, 'unixepoch') {%- endmacro -%}
{%- macro date_of_day(day) -%} date(({{ day }}) * 86400, 'unixepoch') {%- endmacro -%}
{%- macro month_of_day(day) -%} strftime('%Y-%m-01', ({{ day }}) * 86400, 'unixepoch') {%- endmacro -%}
{%- macro day_of_date(date) -%} cast(julianday({{ date }}) - 2440587.5 as integer) {%- endmacro -%}

{%- macro is_number(text) -%}
(json_valid({{ text }}) and json_type({{ text }}) in ('integer', 'real') and abs(cast({{ text }} as real)) < 1e15)
{%- endmacro -%}
{%- macro number(text) -%} cast({{ text }} as real) {%- endmacro -%}

{#- A fraction 0 to 1, null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} 1.0 * {{ part }} / nullif({{ whole }}, 0) {%- endmacro -%}

{#- How many whole parts of a size fit into a number of days. -#}
{%- macro whole(days, size) -%} ({{ days }}) / {{ size }} {%- endmacro -%}

{#- Text without any of some characters at its ends. -#}
{%- macro stripped(text, characters) -%} trim({{ text }}, {{ characters }}) {%- endmacro -%}

{#- Whether a character of a range such as 2-9 is in a text. -#}
{%- macro has_one_of(text, range) -%} {{ text }} glob '*[{{ range }}]*' {%- endmacro -%}

{%- macro least(a, b) -%} min({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} max({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ, where null is a value like any other. -#}
{%- macro differs(a, b) -%} {{ a }} is not {{ b }} {%- endmacro -%}
{%- macro joined(text) -%} group_concat({{ text }}, ', ') {%- endmacro -%}

{%- macro json_row(columns) -%}
json_object({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro -%}

{#- The names of the tables that there are, for a reader who takes what it finds. -#}
{%- macro table_names() -%} select name from sqlite_master where type in ('table', 'view') {%- endmacro -%}

{#- Tables ------------------------------------------------------------------------------------------------------ -#}

{%- macro create_table(name, columns, key) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ type }}{{ ' not null' if column in key }},
    {% endfor %}
    primary key ({{ key | join(', ') }})
) without rowid;
{%- endmacro -%}

{#- Two tables that live as long as the connection does: what the table loses, and what it gains. -#}
{%- macro scratch(name, query) -%}
drop table if exists temp.{{ name }};
create temp table {{ name }} as
{{ query }};
{%- endmacro -%}

{#- A join that reads its left side first: the small one stands there. Other engines find that out by themselves. -#}
{%- set join = 'cross join' -%}

{#- Rows of a table whose key is among those of another, without reading the rest of the table. -#}
{%- macro rows_of(table, columns, keys, key) -%}
select t.{{ columns | join(', t.') }}
from {{ keys }} as k
cross join {{ table }} as t
{% for column in key %}
    {{ 'on' if loop.first else 'and' }} t.{{ column }} = k.{{ column }}
{% endfor %}
{%- endmacro -%}

{%- macro insert_new(table, columns) -%}
insert or ignore into {{ table }} ({{ columns | join(', ') }})
{%- endmacro -%}

{#- All rows of a table when a run computes everything again, otherwise none, and then none is read. -#}
{%- macro all_if_everything(table, columns) -%}
select t.{{ columns | join(', t.') }}
from run_state as r
cross join {{ table }} as t
where r.everything = 1
{%- endmacro -%}

{#- Transactions: one writer at a time, who waits up to a minute for the one before; readers are never blocked. ---- -#}

{#- Rows of people lie all over a large table: with the 2 MB that SQLite keeps of it, every page is read again and again. -#}
{%- macro begin() -%}
pragma busy_timeout = 60000;
pragma cache_size = -131072;
begin immediate;
{%- endmacro -%}
{%- macro commit() -%}
commit;
{%- endmacro -%}
