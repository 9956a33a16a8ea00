{#- SQL that differs between engines: DuckDB. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{%- set moment = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?([ \\t\\n\\v\\f\\r]*([Zz]|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?)?$" -%}

{#- The shape of nearly every timestamp, which DuckDB parses correctly: only the others need the arithmetic. -#}
{%- set usual_moment = "[0-9]{4}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z" -%}

{#- Milliseconds since 1970-01-01 of a date or a timestamp in text (UTC unless it has an offset), with a T or a blank
    before the time; null for other text and for dates that do not exist. Finer digits are cut off.
    Computed by arithmetic, since DuckDB's parser drops offsets and rounds. Only text of the usual shape is safe from that. -#}
{%- macro moment_ms(text) -%}
case when regexp_full_match({{ text }}, '{{ usual_moment }}') and {{ text }} >= '0001'
then epoch_ms(try_cast({{ text }} as timestamp))
when regexp_matches({{ text }}, '{{ moment }}') and {{ text }} >= '0001'
then (try_cast(substr({{ text }}, 1, 10) as date) - date '1970-01-01') * 86400000
 + case when length({{ text }}) > 10
 then cast(substr({{ text }}, 12, 2) as bigint) * 3600000 + cast(substr({{ text }}, 15, 2) as bigint) * 60000
  + case when substr({{ text }}, 17, 1) = ':' then cast(substr({{ text }}, 18, 2) as bigint) * 1000 else 0 end
  + case when substr({{ text }}, 20, 1) = '.'
  then cast(rpad(regexp_extract({{ text }}, '\.([0-9]{1,3})', 1), 3, '0') as bigint) else 0 end
  - case when substr({{ text }}, length({{ text }}) - 5, 1) in ('+', '-')
  then cast(substr({{ text }}, length({{ text }}) - 5, 1) || '1' as bigint)
   * (cast(substr({{ text }}, length({{ text }}) - 4, 2) as bigint) * 3600000
   + cast(substr({{ text }}, length({{ text }}) - 1, 2) as bigint) * 60000)
  else 0 end
 else 0 end
end
{%- endmacro -%}

{%- macro day_of_ms(ms) -%} cast(floor({{ ms }} / 86400000) as bigint) {%- endmacro -%}
{%- macro at_of_ms(ms) -%} cast(make_timestamp(cast(floor(({{ ms }}) / 1000) as bigint) * 1000000) as varchar) {%- endmacro -%}
{%- macro date_of_day(day) -%} cast(date '1970-01-01' + cast({{ day }} as integer) as varchar) {%- endmacro -%}
{%- macro month_of_day(day) -%} strftime(date '1970-01-01' + cast({{ day }} as integer), '%Y-%m-01') {%- endmacro -%}
{%- macro day_of_date(date) -%} (cast(substr({{ date }}, 1, 10) as date) - date '1970-01-01') {%- endmacro -%}

{%- set json_number = "^[ \\t\\n\\r]*-?(0|[1-9][0-9]{0,199})(\\.[0-9]{1,199})?([eE][+-]?[0-9]{1,2})?[ \\t\\n\\r]*$" -%}

{#- Whether text is a JSON number below 1e15 whose exponent has at most two digits. -#}
{%- macro is_number(text) -%}
(regexp_matches({{ text }}, '{{ json_number }}') and abs(try_cast({{ text }} as double)) < 1e15)
{%- endmacro -%}
{#- The number in a text; undefined where the text is not a number. -#}
{%- macro number(text) -%} try_cast({{ text }} as double) {%- endmacro -%}

{#- A number in floating point: a literal such as 0.4 is a decimal here, which rounds differently. -#}
{%- macro real(number) -%} cast({{ number }} as double) {%- endmacro -%}

{#- A fraction from 0 to 1; null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} cast({{ part }} as double) / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether text contains a character of a range such as 2-9. -#}
{%- macro has_one_of(text, range) -%} regexp_matches({{ text }}, '[{{ range }}]') {%- endmacro -%}

{#- Whether text is empty or blank, and whether it starts or ends with a blank. Looking at the ends is faster than trim. -#}
{%- macro is_blank(text) -%} (substr({{ text }}, 1, 1) in ('', ' ') and trim({{ text }}, ' ') = '') {%- endmacro -%}
{%- macro has_blanks_around(text) -%} (starts_with({{ text }}, ' ') or ends_with({{ text }}, ' ')) {%- endmacro -%}

{#- Text without leading and trailing blanks. Few texts have any, and trim splits every text into characters. -#}
{%- macro trimmed(text) -%} case when {{ has_blanks_around(text) }} then trim({{ text }}, ' ') else {{ text }} end {%- endmacro -%}

{%- macro least(a, b) -%} least({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} greatest({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ; two nulls are equal. -#}
{%- macro differs(a, b) -%} {{ a }} is distinct from {{ b }} {%- endmacro -%}
{%- macro joined(text) -%} string_agg({{ text }}, ', ' order by {{ text }}) {%- endmacro -%}

{%- macro json_row(columns) -%}
cast(json_object({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %}) as text)
{%- endmacro -%}

{#- Tables ------------------------------------------------------------------------------------------------------ -#}

{%- set types = {'text': 'varchar', 'integer': 'bigint', 'real': 'double'} -%}


{%- macro create_table(name, columns, key) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in key }},
    {% endfor %}
    primary key ({{ key | join(', ') }})
);
{%- endmacro -%}

{#- A raw or computed table. DuckDB scans columns: a primary key would cost more than all other work on the table. -#}
{%- macro create_large_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table that each run fills and empties. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table without a key, which may hold duplicates. -#}
{%- macro create_log(name, columns, filled=()) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in filled }}{{ ',' if not loop.last }}
    {% endfor %}
);
{%- endmacro -%}

{%- macro create_index(table, columns, is_unique=false) -%} {%- endmacro -%}

{#- DuckDB has no indexes here. -#}
{%- macro drop_index_to_fill(table, columns) -%}  {%- endmacro -%}

{#- An index of raw rows by an id of any length. -#}
{%- macro create_raw_index(table, column) -%} {%- endmacro -%}

{#- Work tables have a schema of their own, which is on the search path of every connection. -#}
{%- macro enter_work_schema() -%}
create schema if not exists growth_work;
set search_path = 'growth_work,main';
{%- endmacro -%}
{%- macro leave_work_schema() -%} set search_path = 'main,growth_work'; {%- endmacro -%}

{#- Comments on a table and its columns, which database tools show. -#}
{%- macro describe(table) -%}
comment on table {{ table.name }} is {{ table.sentence | text }};
{% for name, column in table.columns.items() %}
comment on column {{ table.name }}.{{ name }} is {{ (column.sentence ~ ' [' ~ column.unit ~ ']') | text }};
{% endfor %}
{%- endmacro -%}


{%- macro drop_view(name) -%} drop view if exists {{ name }}; {%- endmacro -%}

{#- A temporary table, which lasts as long as the connection. -#}
{%- macro scratch(name, query) -%}
create or replace temp table {{ name }} as
{{ query }};
{%- endmacro -%}

{#- Statistics for the planner: DuckDB needs no refresh. -#}
{%- macro count_rows(table) -%} {%- endmacro -%}

{%- macro count_rows_if_many(table, added) -%} {%- endmacro -%}

{#- The order in which rows are written. DuckDB scans all rows: sorting would cost more than it saves. -#}
{%- macro in_order(key) -%} {%- endmacro -%}

{%- set join = 'inner join' -%}

{#- Keeps the planner from merging a subquery into the outer query: DuckDB needs nothing. -#}
{%- set fence = '' -%}

{#- How the rest of the transaction joins the rows in scope: DuckDB scans all rows anyway. -#}
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
insert into {{ table }} ({{ columns | join(', ') }})
select given.{{ columns | join(', given.') }}
from (
{{ caller() | trim }}
) as given ({{ columns | join(', ') }})
anti join {{ table }} using ({{ columns | join(', ') }});
{%- endmacro -%}

{#- Record changed rows, duplicates included: readers remove these, and doing so here would cost another pass. -#}
{%- macro insert_changes(table, columns, rows) -%}
insert into {{ table }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} from {{ rows }};
{%- endmacro -%}

{#- Fill an empty table. The query must not repeat a key. -#}
{%- macro fill_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- Transactions: one process at a time owns the file, and a connection waits for it. ------------------------------- -#}

{#- A transaction that writes a task's own tables. -#}
{%- macro begin() -%}
begin transaction;
{%- endmacro -%}

{#- An exclusive transaction, for landing, publishing and acquiring the lease: it is the only writer. -#}
{%- macro begin_alone() -%} {{ begin() }} {%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
