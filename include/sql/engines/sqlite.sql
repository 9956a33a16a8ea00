{#- SQL that differs between engines: SQLite. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{#- Milliseconds since 1970-01-01 of a date or a timestamp in text (UTC unless it has an offset), with a T or a blank
    before the time; null for other text and for dates that do not exist. Finer digits are cut off. -#}
{%- macro moment_ms(text) -%}
case when {{ text }} glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9]*[0-9Zz]'
        and (length({{ text }}) = 10 or (substr({{ text }}, 11, 1) in ('T', ' ') and substr({{ text }}, 12, 2) < '24'))
        and {{ text }} >= '0001'
        and (substr({{ text }}, 9, 2) <= '28' or date(substr({{ text }}, 1, 10), '+0 days') = substr({{ text }}, 1, 10))
    then cast(round((julianday({{ to_the_ms(text) }}) - 2440587.5) * 86400000) as integer)
end
{%- endmacro -%}
{#- SQLite rounds to the millisecond, which can reach the next day: finer digits are cut off first. -#}
{%- macro to_the_ms(text) -%}
case when substr({{ text }}, 20, 1) = '.' and substr({{ text }}, 24, 1) glob '[0-9]'
    then substr({{ text }}, 1, 23) || ltrim(substr({{ text }}, 24), '0123456789') else {{ text }} end
{%- endmacro -%}

{%- macro day_of_ms(ms) -%} cast(floor({{ ms }} / 86400000.0) as integer) {%- endmacro -%}
{%- macro at_of_ms(ms) -%} strftime('%Y-%m-%d %H:%M:%S', {{ ms }} / 1000, 'unixepoch') {%- endmacro -%}
{%- macro date_of_day(day) -%} date(({{ day }}) * 86400, 'unixepoch') {%- endmacro -%}
{%- macro month_of_day(day) -%} strftime('%Y-%m-01', ({{ day }}) * 86400, 'unixepoch') {%- endmacro -%}
{%- macro day_of_date(date) -%} cast(julianday({{ date }}) - 2440587.5 as integer) {%- endmacro -%}

{#- Whether text is a JSON number below 1e15 whose exponent has at most two digits. -#}
{%- macro is_number(text) -%}
(json_valid({{ text }}) and json_type({{ text }}) in ('integer', 'real') and abs(cast({{ text }} as real)) < 1e15
    and {{ text }} not glob '*[eE]*[0-9][0-9][0-9]*')
{%- endmacro -%}
{#- The number in a text; undefined where the text is not a number. -#}
{%- macro number(text) -%} cast({{ text }} as real) {%- endmacro -%}

{#- A number in floating point: on other engines a literal such as 0.4 is a decimal, which rounds differently. -#}
{%- macro real(number) -%} {{ number }} {%- endmacro -%}

{#- A fraction from 0 to 1; null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} 1.0 * {{ part }} / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether text contains a character of a range such as 2-9. -#}
{%- macro has_one_of(text, range) -%} {{ text }} glob '*[{{ range }}]*' {%- endmacro -%}

{#- Whether text is empty or blank, and whether it starts or ends with a blank. -#}
{%- macro is_blank(text) -%} trim({{ text }}, ' ') = '' {%- endmacro -%}
{%- macro has_blanks_around(text) -%} {{ text }} <> trim({{ text }}, ' ') {%- endmacro -%}

{#- Text without leading and trailing blanks. -#}
{%- macro trimmed(text) -%} trim({{ text }}, ' ') {%- endmacro -%}

{%- macro least(a, b) -%} min({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} max({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ; two nulls are equal. -#}
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

{#- A raw or computed table. -#}
{%- macro create_large_table(name, columns, key) -%} {{ create_table(name, columns, key) }} {%- endmacro -%}

{#- A table that each run fills and empties. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_table(name, columns, key) }} {%- endmacro -%}

{#- A table without a key, which may hold duplicates. -#}
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

{#- Drop an index before its table is refilled: creating it afterwards sorts once, instead of searching it for each row. -#}
{%- macro drop_index_to_fill(table, columns) -%} drop index if exists {{ table }}_{{ columns | join('_') }}; {%- endmacro -%}

{#- An index of raw rows by an id of any length. -#}
{%- macro create_raw_index(table, column) -%} {{ create_index(table, [column]) }} {%- endmacro -%}

{#- Work tables have names that begin with work_. -#}
{%- macro enter_work_schema() -%} {%- endmacro -%}
{%- macro leave_work_schema() -%} {%- endmacro -%}

{#- Comments on a table and its columns: SQLite has none. -#}
{%- macro describe(table) -%} {%- endmacro -%}


{%- macro drop_view(name) -%} drop view if exists {{ name }}; {%- endmacro -%}

{#- A temporary table, which lasts as long as the connection. -#}
{%- macro scratch(name, query) -%}
drop table if exists temp.{{ name }};
create temp table {{ name }} as
{{ query }};
{%- endmacro -%}

{#- Statistics for the planner: SQLite needs no refresh. -#}
{%- macro count_rows(table) -%} {%- endmacro -%}

{%- macro count_rows_if_many(table, added) -%} {%- endmacro -%}

{#- The order in which rows are written: the order of the table. -#}
{%- macro in_order(key) -%} order by {{ key | join(', ') }} {%- endmacro -%}

{#- A join that reads its left side first: queries put the small table there. Other planners choose by themselves. -#}
{%- set join = 'cross join' -%}

{#- Keeps the planner from merging a subquery into the outer query, where each mention of a column would compute it again. -#}
{%- set fence = '\nlimit -1' -%}

{#- How the rest of the transaction joins the rows in scope: SQLite always reads the small left side first. -#}
{%- macro plan_for(scope, table) -%} {%- endmacro -%}
{%- macro plan_for_all() -%} {%- endmacro -%}

{#- A condition that holds for most rows: only PostgreSQL needs a hint. -#}
{%- macro likely(condition) -%} {{ condition }} {%- endmacro -%}

{#- Insert the rows of the caller's query whose keys are not in the table. -#}
{%- macro insert_new(table, columns) -%}
insert or ignore into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- The same for a large table whose columns are its key. The query must not repeat a row. -#}
{%- macro insert_keys(table, columns) -%}
insert or ignore into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- Record changed rows, each once. -#}
{%- macro insert_changes(table, columns, rows) -%}
{% call insert_keys(table, columns) %}
select distinct {{ columns | join(', ') }} from {{ rows }}
{% endcall %}
{%- endmacro -%}

{#- Fill an empty table. The query must not repeat a key. -#}
{%- macro fill_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- Transactions: one writer at a time, which waits up to a minute for the previous one; readers never wait. ------ -#}

{#- A transaction that writes a task's own tables. -#}
{%- macro begin() -%}
pragma busy_timeout = 60000;
begin immediate;
{%- endmacro -%}

{#- An exclusive transaction, for landing, publishing and acquiring the lease: it is the only writer. -#}
{%- macro begin_alone() -%} {{ begin() }} {%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
