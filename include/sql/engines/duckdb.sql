{#- DuckDB: the words in which it differs from other engines. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{%- set moment = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?([ \\t\\n\\v\\f\\r]*([Zz]|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?)?$" -%}

{#- The shape that nearly every moment has, which DuckDB reads right by itself: the rest takes the long way. -#}
{%- set usual_moment = "[0-9]{4}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z" -%}

{#- Milliseconds since 1970-01-01 of text that is a date, or a date and a time (UTC where no offset stands), with
    a T or a blank between them; null for other text, and for a day that no calendar has. Not rounded.
    By arithmetic: DuckDB's own reading drops offsets and rounds, which only text of the usual shape is safe from. -#}
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

{#- Whether text is a number as JSON writes it, below 1e15, with at most two digits of exponent. -#}
{%- macro is_number(text) -%}
(regexp_matches({{ text }}, '{{ json_number }}') and abs(try_cast({{ text }} as double)) < 1e15)
{%- endmacro -%}
{#- The number that text is; anything where it is none. -#}
{%- macro number(text) -%} try_cast({{ text }} as double) {%- endmacro -%}

{#- A number as a fraction in floating point: 0.4 is a decimal here, which counts otherwise. -#}
{%- macro real(number) -%} cast({{ number }} as double) {%- endmacro -%}

{#- A fraction 0 to 1, null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} cast({{ part }} as double) / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether a character of a range such as 2-9 is in a text. -#}
{%- macro has_one_of(text, range) -%} regexp_matches({{ text }}, '[{{ range }}]') {%- endmacro -%}

{#- Whether text has nothing but blanks, and whether blanks stand around it: nearly none does, which its ends tell. -#}
{%- macro is_blank(text) -%} (substr({{ text }}, 1, 1) in ('', ' ') and trim({{ text }}, ' ') = '') {%- endmacro -%}
{%- macro has_blanks_around(text) -%} (starts_with({{ text }}, ' ') or ends_with({{ text }}, ' ')) {%- endmacro -%}

{#- Text without the blanks around it: nearly none has any, and trim takes each apart into characters. -#}
{%- macro trimmed(text) -%} case when {{ has_blanks_around(text) }} then trim({{ text }}, ' ') else {{ text }} end {%- endmacro -%}

{%- macro least(a, b) -%} least({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} greatest({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ, where null is a value like any other. -#}
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

{#- A table of raw rows or a model's. It is read by columns: a key
    would cost more than all else that is done with it. -#}
{%- macro create_large_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table that is filled and emptied by each run. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table that rows are only added to, and that may hold one twice. -#}
{%- macro create_log(name, columns, filled=()) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in filled }}{{ ',' if not loop.last }}
    {% endfor %}
);
{%- endmacro -%}

{%- macro create_index(table, columns, is_unique=false) -%} {%- endmacro -%}

{#- There are none. -#}
{%- macro drop_index_to_fill(table, columns) -%}  {%- endmacro -%}

{#- An index of raw rows by an id, which may be of any length. -#}
{%- macro create_raw_index(table, column) -%} {%- endmacro -%}

{#- Tables that runs keep for themselves have a schema of their own, which every connection looks into as well. -#}
{%- macro enter_work_schema() -%}
create schema if not exists growth_work;
set search_path = 'growth_work,main';
{%- endmacro -%}
{%- macro leave_work_schema() -%} set search_path = 'main,growth_work'; {%- endmacro -%}

{#- What a table and its columns say, where every tool that lists them shows it. -#}
{%- macro describe(table) -%}
comment on table {{ table.name }} is {{ table.sentence | text }};
{% for name, column in table.columns.items() %}
comment on column {{ table.name }}.{{ name }} is {{ (column.sentence ~ ' [' ~ column.unit ~ ']') | text }};
{% endfor %}
{%- endmacro -%}


{%- macro drop_view(name) -%} drop view if exists {{ name }}; {%- endmacro -%}

{#- A table that lives as long as the connection does: what comes, and of it what a table loses and what it gains. -#}
{%- macro scratch(name, query) -%}
create or replace temp table {{ name }} as
{{ query }};
{%- endmacro -%}

{#- What a planner that counts rows has to know once a table has been filled. -#}
{%- macro count_rows(table) -%} {%- endmacro -%}

{%- macro count_rows_if_many(table, added) -%} {%- endmacro -%}

{#- Every row is read, whatever its place: to sort them would take longer than to read them does. -#}
{%- macro in_order(key) -%} {%- endmacro -%}

{%- set join = 'inner join' -%}

{#- What keeps a query from being taken apart by the one around it: nothing is needed here. -#}
{%- set fence = '' -%}

{#- How to join what is in scope with the rest, for the rest of the transaction: every row is read in any case. -#}
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
insert into {{ table }} ({{ columns | join(', ') }})
select given.{{ columns | join(', given.') }}
from (
{{ caller() | trim }}
) as given ({{ columns | join(', ') }})
anti join {{ table }} using ({{ columns | join(', ') }});
{%- endmacro -%}

{#- What came or went, as often as it did: who reads it looks at each once, and to do so here as well would cost a pass. -#}
{%- macro insert_changes(table, columns, rows) -%}
insert into {{ table }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} from {{ rows }};
{%- endmacro -%}

{#- The same into one that is empty, each key once. -#}
{%- macro fill_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }};
{%- endmacro -%}

{#- Transactions: the file belongs to one process at a time, which the connection waits for. ------------------------ -#}

{#- One that writes what is a task's own. -#}
{%- macro begin() -%}
begin transaction;
{%- endmacro -%}

{#- One beside which nobody else writes: landing, publishing, taking the warehouse. -#}
{%- macro begin_alone() -%} {{ begin() }} {%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
