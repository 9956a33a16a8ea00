{#- PostgreSQL: the words in which it differs from other engines. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{%- set moment = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?([ \\t\\n\\v\\f\\r]*([Zz]|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?)?$" -%}

{#- Milliseconds since 1970-01-01 of text that is a date, or a date and a time (UTC where no offset stands), with
    a T or a blank between them; null for other text, and for a day that no calendar has. Not rounded.
    By arithmetic: PostgreSQL's own reading rounds, depends on the session, and fails on a 30th of February. -#}
{%- macro moment_ms(text) -%}
case when {{ text }} ~ '{{ moment }}' and {{ text }} >= '0001'
then case when substr({{ text }}, 9, 2) <= '28' or cast(substr({{ text }}, 9, 2) as integer)
 <= extract(day from cast(substr({{ text }}, 1, 8) || '01' as date) + interval '1 month - 1 day')
 then cast(cast(substr({{ text }}, 1, 10) as date) - date '1970-01-01' as bigint) * 86400000
 + case when length({{ text }}) > 10
  then cast(substr({{ text }}, 12, 2) as bigint) * 3600000 + cast(substr({{ text }}, 15, 2) as bigint) * 60000
  + case when substr({{ text }}, 17, 1) = ':' then cast(substr({{ text }}, 18, 2) as bigint) * 1000 else 0 end
  + case when substr({{ text }}, 20, 1) = '.'
   then cast(rpad(substring({{ text }} from '\.([0-9]{1,3})'), 3, '0') as bigint) else 0 end
  - case when substr({{ text }}, length({{ text }}) - 5, 1) in ('+', '-')
   then cast(substr({{ text }}, length({{ text }}) - 5, 1) || '1' as bigint)
   * (cast(substr({{ text }}, length({{ text }}) - 4, 2) as bigint) * 3600000
    + cast(substr({{ text }}, length({{ text }}) - 1, 2) as bigint) * 60000)
   else 0 end
  else 0 end
end
end
{%- endmacro -%}

{#- Division of whole numbers rounds towards 0: a million days more keep it below. -#}
{%- macro day_of_ms(ms) -%} (({{ ms }} + 86400000000000) / 86400000 - 1000000) {%- endmacro -%}
{%- macro at_of_ms(ms) -%} to_char(to_timestamp({{ ms }} / 1000) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') {%- endmacro -%}
{%- macro date_of_day(day) -%} to_char(date '1970-01-01' + cast({{ day }} as integer), 'YYYY-MM-DD') {%- endmacro -%}
{%- macro month_of_day(day) -%} to_char(date '1970-01-01' + cast({{ day }} as integer), 'YYYY-MM-"01"') {%- endmacro -%}
{%- macro day_of_date(date) -%} cast(cast(substr({{ date }}, 1, 10) as date) - date '1970-01-01' as bigint) {%- endmacro -%}

{%- set json_number = "^[ \\t\\n\\r]*-?(0|[1-9][0-9]{0,199})(\\.[0-9]{1,199})?([eE][+-]?[0-9]{1,2})?[ \\t\\n\\r]*$" -%}

{#- Whether text is a number as JSON writes it, below 1e15, with at most two digits of exponent. -#}
{%- macro is_number(text) -%}
(case when {{ text }} ~ '{{ json_number }}' then abs(cast({{ text }} as double precision)) < 1e15 else false end)
{%- endmacro -%}
{#- The number that text is; null where it is none. -#}
{%- macro number(text) -%}
case when {{ text }} ~ '{{ json_number }}' then cast({{ text }} as double precision) end
{%- endmacro -%}

{#- A number as a fraction in floating point: 0.4 is a decimal here, which counts otherwise. -#}
{%- macro real(number) -%} cast({{ number }} as double precision) {%- endmacro -%}

{#- A fraction 0 to 1, null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} cast({{ part }} as double precision) / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether a character of a range such as 2-9 is in a text. -#}
{%- macro has_one_of(text, range) -%} {{ text }} ~ '[{{ range }}]' {%- endmacro -%}

{#- Whether text has nothing but blanks, and whether blanks stand around it. -#}
{%- macro is_blank(text) -%} trim({{ text }}, ' ') = '' {%- endmacro -%}
{%- macro has_blanks_around(text) -%} {{ text }} <> trim({{ text }}, ' ') {%- endmacro -%}

{#- Text without the blanks around it. -#}
{%- macro trimmed(text) -%} trim({{ text }}, ' ') {%- endmacro -%}

{%- macro least(a, b) -%} least({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} greatest({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ, where null is a value like any other. -#}
{%- macro differs(a, b) -%} {{ a }} is distinct from {{ b }} {%- endmacro -%}
{%- macro joined(text) -%} string_agg({{ text }}, ', ' order by {{ text }}) {%- endmacro -%}

{%- macro json_row(columns) -%}
cast(row_to_json((select j from (select {{ columns | join(', ') }}) as j)) as text)
{%- endmacro -%}

{#- Tables ------------------------------------------------------------------------------------------------------ -#}

{#- Text is ordered by its bytes, as elsewhere: the order of a language would pick other rows of those that tie. -#}
{%- set types = {'text': 'text collate "C"', 'integer': 'bigint', 'real': 'double precision'} -%}

{%- macro create_table(name, columns, key) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in key }},
    {% endfor %}
    primary key ({{ key | join(', ') }})
);
{%- endmacro -%}

{#- Text that may be of any length, such as the id of an event: no key and no ordinary index holds what is longer than 2,700 bytes.
    A hash index takes it, of one column, and for nothing but equality. -#}
{%- macro is_long(column) -%}
{{ 'long' if column in ('row_key', 'event_id', 'subscription_id', 'link_id') or column.endswith(('_source', '_campaign', '_file')) }}
{%- endmacro -%}
{%- macro short(columns) -%}
{% for column in columns if not is_long(column) %}{{ ', ' if not loop.first }}{{ column }}{% endfor %}
{%- endmacro -%}

{#- A table of raw rows or a model's. Where its key may be long, each of its ids is found by itself. -#}
{%- macro create_large_table(name, columns, key) -%}
{% if short(key).split(', ') == key | list %}
{{ create_table(name, columns, key) }}
{% else %}
{{ create_work_table(name, columns, key) }}
{% if not is_long(key[0]) %}
{{ create_index(name, key) }}
{% endif %}
{% for column in key if is_long(column) and column.endswith('_id') %}
{{ create_index(name, [column]) }}
{% endfor %}
{% endif %}
{%- endmacro -%}

{#- A table that is filled and emptied by each run, and read as a whole. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table that rows are only added to, and that may hold one twice. -#}
{%- macro create_log(name, columns, filled=()) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in filled }}{{ ',' if not loop.last }}
    {% endfor %}
);
{%- endmacro -%}

{#- Where it may be long, that no row is there twice is not asked for: a run has the warehouse for itself, checks tell. -#}
{%- macro create_index(table, columns, is_unique=false) -%}
{% if is_long(columns[0]) %}
create index if not exists {{ table }}_{{ columns[0] }} on {{ table }} using hash ({{ columns[0] }});
{% elif not is_unique or short(columns).split(', ') == columns | list %}
create {{ 'unique ' if is_unique }}index if not exists {{ table }}_{{ short(columns).replace(', ', '_') }} on {{ table }} ({{ short(columns) }});
{% endif %}
{%- endmacro -%}

{#- An index of a table that is filled anew stays: without it readers would wait, with it each row takes longer. -#}
{%- macro drop_index_to_fill(table, columns) -%}  {%- endmacro -%}

{#- An index of raw rows by an id, of any kind and length: what is wrong with it is said later. -#}
{%- macro create_raw_index(table, column) -%}
create index if not exists {{ table }}_{{ column }} on {{ table }} using hash ({{ column }});
{%- endmacro -%}

{#- Tables that runs keep for themselves have a schema of their own, <schema>_work, which every connection looks into as
    well (growth.engines.postgres). -#}
{%- macro enter_work_schema() -%}
select set_config('search_path', split_part(current_setting('search_path'), ',', 2) || ',' || split_part(current_setting('search_path'), ',', 1), true);
{%- endmacro -%}
{%- macro leave_work_schema() -%}
select set_config('search_path', split_part(current_setting('search_path'), ',', 2) || ',' || split_part(current_setting('search_path'), ',', 1), true);
{%- endmacro -%}

{#- What a table and its columns say, where every tool that lists them shows it. -#}
{%- macro describe(table) -%}
comment on table {{ table.name }} is {{ table.sentence | text }};
{% for name, column in table.columns.items() %}
comment on column {{ table.name }}.{{ name }} is {{ (column.sentence ~ ' [' ~ column.unit ~ ']') | text }};
{% endfor %}
{%- endmacro -%}


{#- With the views that read it: all are made anew together. -#}
{%- macro drop_view(name) -%} drop view if exists {{ name }} cascade; {%- endmacro -%}

{#- A table that lives as long as the connection does: what comes, and of it what a table loses and what it gains. -#}
{%- macro scratch(name, query) -%}
drop table if exists pg_temp.{{ name }};
create temp table {{ name }} as
{{ query }};
analyze {{ name }};
{%- endmacro -%}

{#- What a planner that counts rows has to know once a table has been filled. -#}
{%- macro count_rows(table) -%} analyze {{ table }}; {%- endmacro -%}

{#- The same for a table that has changed by a good part of it: no run waits for autovacuum. -#}
{%- macro count_rows_if_many(table, added) -%}
do $$ begin
if (select count(*) from {{ added }})
    > (select greatest(reltuples, 0) from pg_class where oid = cast('{{ table }}' as regclass)) / 10
then analyze {{ table }}; end if; end $$;
{%- endmacro -%}

{#- Rows that are read together are written beside each other. -#}
{%- macro in_order(key) -%} order by {{ key | join(', ') }} {%- endmacro -%}

{%- set join = 'inner join' -%}

{#- What keeps a query from being taken apart by the one around it: each mention of a column would compute it again. -#}
{%- set fence = '\noffset 0' -%}

{#- How to join what is in scope with the rest, for the rest of the transaction: where most of a table is in scope, no
    row is looked up by itself. The planner takes two columns that name a row together for two that have nothing to do
    with each other, and the rows that it finds for far fewer than there are. -#}
{%- macro plan_for(scope, table) -%}
select set_config('enable_nestloop', 'off', true)
from pg_class
where oid = cast('{{ table }}' as regclass)
    and (select count(*) from {{ scope }}) > greatest(reltuples / 10, 1000);
{%- endmacro -%}

{#- The same where all rows are computed. -#}
{%- macro plan_for_all() -%}
set local enable_nestloop = off;
{%- endmacro -%}

{#- A condition that holds for most rows. Of what it has no statistics of, PostgreSQL takes one row in 200 to be so,
    several times over a single one, which it would read a whole table beside again and again. -#}
{%- macro likely(condition) -%} case when {{ condition }} then 1 else 0 end <> 0 {%- endmacro -%}

{#- Rows that the table has not, by its key: the query is what is called with. -#}
{%- macro insert_new(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }}
on conflict do nothing;
{%- endmacro -%}

{#- The same into a large table, whose columns are its key: each comes once. -#}
{%- macro insert_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} from (
{{ caller() | trim }}
) as given ({{ columns | join(', ') }})
except
select {{ columns | join(', ') }} from {{ table }};
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

{#- Transactions ------------------------------------------------------------------------------------------------ -#}

{#- One that writes what is a task's own. Several of one run may be at work at once; nobody takes the warehouse, lands
    or publishes beside them. -#}
{%- macro begin() -%}
begin;
set local lock_timeout = '60s';
select pg_advisory_xact_lock_shared(hashtext(current_schema()));
{%- endmacro -%}

{#- One beside which nobody else writes: landing, publishing, taking the warehouse. -#}
{%- macro begin_alone() -%}
begin;
set local lock_timeout = '60s';
select pg_advisory_xact_lock(hashtext(current_schema()));
{%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
