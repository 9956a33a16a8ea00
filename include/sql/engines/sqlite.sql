{#- SQLite: the words in which it differs from other engines. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{#- Milliseconds since 1970-01-01 of text that is a date, or a date and a time (UTC where no offset stands), with
    a T or a blank between them; null for other text, and for a day that no calendar has. Not rounded. -#}
{%- macro moment_ms(text) -%}
case when {{ text }} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9]*[0-9Zz]'
        and (length({{ text }}) = 10 or (substr({{ text }}, 11, 1) in ('T', ' ') and substr({{ text }}, 12, 2) < '24'))
        and {{ text }} >= '0001'
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

{#- Whether text is a number as JSON writes it, below 1e15, with at most two digits of exponent. -#}
{%- macro is_number(text) -%}
(json_valid({{ text }}) and json_type({{ text }}) in ('integer', 'real') and abs(cast({{ text }} as real)) < 1e15
    and {{ text }} not glob '*[eE]*[0-9][0-9][0-9]*')
{%- endmacro -%}
{#- The number that text is; anything where it is none. -#}
{%- macro number(text) -%} cast({{ text }} as real) {%- endmacro -%}

{#- A number as a fraction in floating point: elsewhere 0.4 is a decimal, which counts otherwise. -#}
{%- macro real(number) -%} {{ number }} {%- endmacro -%}

{#- A fraction 0 to 1, null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} 1.0 * {{ part }} / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether a character of a range such as 2-9 is in a text. -#}
{%- macro has_one_of(text, range) -%} {{ text }} glob '*[{{ range }}]*' {%- endmacro -%}

{#- Whether text has nothing but blanks, and whether blanks stand around it. -#}
{%- macro is_blank(text) -%} trim({{ text }}, ' ') = '' {%- endmacro -%}
{%- macro has_blanks_around(text) -%} {{ text }} <> trim({{ text }}, ' ') {%- endmacro -%}

{#- Text without the blanks around it. -#}
{%- macro trimmed(text) -%} trim({{ text }}, ' ') {%- endmacro -%}

{%- macro least(a, b) -%} min({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} max({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ, where null is a value like any other. -#}
{%- macro differs(a, b) -%} {{ a }} is not {{ b }} {%- endmacro -%}
{%- macro joined(text) -%} group_concat({{ text }}, ', ') {%- endmacro -%}

{%- macro json_row(columns) -%}
json_object({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro -%}

{#- Tables ------------------------------------------------------------------------------------------------------ -#}

{%- set types = {'text': 'text', 'integer': 'integer', 'real': 'real'} -%}


{%- macro create_table(name, columns, key) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in key }},
    {% endfor %}
    primary key ({{ key | join(', ') }})
) without rowid;
{%- endmacro -%}

{#- A table of raw rows or a model's. -#}
{%- macro create_large_table(name, columns, key) -%} {{ create_table(name, columns, key) }} {%- endmacro -%}

{#- A table that is filled and emptied by each run. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_table(name, columns, key) }} {%- endmacro -%}

{#- A table that rows are only added to, and that may hold one twice. -#}
{%- macro create_log(name, columns) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ',' if not loop.last }}
    {% endfor %}
);
{%- endmacro -%}

{%- macro create_index(table, columns, is_unique=false) -%}
create {{ 'unique ' if is_unique }}index if not exists {{ table }}_{{ columns | join('_') }} on {{ table }} ({{ columns | join(', ') }});
{%- endmacro -%}

{#- An index of a table that is filled anew: made afterwards it is sorted once, instead of being searched for each row. -#}
{%- macro drop_index_to_fill(table, columns) -%} drop index if exists {{ table }}_{{ columns | join('_') }}; {%- endmacro -%}

{#- An index of raw rows by an id, which may be of any length. -#}
{%- macro create_raw_index(table, column) -%} {{ create_index(table, [column]) }} {%- endmacro -%}

{#- Tables that runs keep for themselves: their names begin with work_. -#}
{%- macro enter_work_schema() -%} {%- endmacro -%}
{%- macro leave_work_schema() -%} {%- endmacro -%}

{#- What a table and its columns say. SQLite has no place for it. -#}
{%- macro describe(table) -%} {%- endmacro -%}


{%- macro drop_view(name) -%} drop view if exists {{ name }}; {%- endmacro -%}

{#- A table that lives as long as the connection does: what comes, and of it what a table loses and what it gains. -#}
{%- macro scratch(name, query) -%}
drop table if exists temp.{{ name }};
create temp table {{ name }} as
{{ query }};
{%- endmacro -%}

{#- What a planner that counts rows has to know once a table has been filled. -#}
{%- macro count_rows(table) -%} {%- endmacro -%}

{%- macro count_rows_if_many(table, added) -%} {%- endmacro -%}

{#- Rows beside each other in a table are written beside each other. -#}
{%- macro in_order(key) -%} order by {{ key | join(', ') }} {%- endmacro -%}

{#- A join that reads its left side first: the small one stands there. Other engines find that out by themselves. -#}
{%- set join = 'cross join' -%}

{#- What keeps a query from being taken apart by the one around it: each mention of a column would compute it again. -#}
{%- set fence = '\nlimit -1' -%}

{#- How to join what is in scope with the rest, for the rest of the transaction: here it is always the small one first. -#}
{%- macro plan_for(scope, table) -%} {%- endmacro -%}
{%- macro plan_for_all() -%} {%- endmacro -%}

{#- A condition that holds for most rows, where a planner has no statistics of it. -#}
{%- macro likely(condition) -%} {{ condition }} {%- endmacro -%}

{#- Rows that the table has not, by its key: the query is what is called with. -#}
{%- macro insert_new(table, columns) -%}
insert or ignore into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- The same into a large table, whose columns are its key: each comes once. -#}
{%- macro insert_keys(table, columns) -%}
insert or ignore into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- The same of what came or went. -#}
{%- macro insert_changes(table, columns, rows) -%}
{% call insert_keys(table, columns) %}
select distinct {{ columns | join(', ') }} from {{ rows }}
{% endcall %}
{%- endmacro -%}

{#- The same into one that is empty, each key once. -#}
{%- macro fill_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- Transactions: one writer at a time, who waits up to a minute for the one before; readers are never blocked. ---- -#}

{#- One that writes what is a task's own. -#}
{%- macro begin() -%}
pragma busy_timeout = 60000;
begin immediate;
{%- endmacro -%}

{#- One beside which nobody else writes: landing, publishing, taking the warehouse. -#}
{%- macro begin_alone() -%} {{ begin() }} {%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
