{#- SQL that differs between engines: PostgreSQL. Templates import this file as `db`. -#}

{#- Values ------------------------------------------------------------------------------------------------------ -#}

{%- set moment = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]+)?)?([ \\t\\n\\v\\f\\r]*([Zz]|[+-](0[0-9]|1[0-4]):[0-5][0-9]))?)?$" -%}

{#- Milliseconds since 1970-01-01 of a date or a timestamp in text (UTC unless it has an offset), with a T or a blank
    before the time; null for other text and for dates that do not exist. Finer digits are cut off.
    Computed by arithmetic: PostgreSQL's parser rounds, depends on session settings and fails on a 30th of February. -#}
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

{#- Integer division rounds towards 0: adding a million days keeps the dividend positive. -#}
{%- macro day_of_ms(ms) -%} (({{ ms }} + 86400000000000) / 86400000 - 1000000) {%- endmacro -%}
{%- macro at_of_ms(ms) -%} to_char(to_timestamp({{ ms }} / 1000) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') {%- endmacro -%}
{%- macro date_of_day(day) -%} to_char(date '1970-01-01' + cast({{ day }} as integer), 'YYYY-MM-DD') {%- endmacro -%}
{%- macro month_of_day(day) -%} to_char(date '1970-01-01' + cast({{ day }} as integer), 'YYYY-MM-"01"') {%- endmacro -%}
{%- macro day_of_date(date) -%} cast(cast(substr({{ date }}, 1, 10) as date) - date '1970-01-01' as bigint) {%- endmacro -%}

{%- set json_number = "^[ \\t\\n\\r]*-?(0|[1-9][0-9]{0,199})(\\.[0-9]{1,199})?([eE][+-]?[0-9]{1,2})?[ \\t\\n\\r]*$" -%}

{#- Whether text is a JSON number below 1e15 whose exponent has at most two digits. -#}
{%- macro is_number(text) -%}
(case when {{ text }} ~ '{{ json_number }}' then abs(cast({{ text }} as double precision)) < 1e15 else false end)
{%- endmacro -%}
{#- The number in a text; null where the text is not a number. -#}
{%- macro number(text) -%}
case when {{ text }} ~ '{{ json_number }}' then cast({{ text }} as double precision) end
{%- endmacro -%}

{#- A number in floating point: a literal such as 0.4 is a decimal here, which rounds differently. -#}
{%- macro real(number) -%} cast({{ number }} as double precision) {%- endmacro -%}

{#- A fraction from 0 to 1; null where the whole is 0. -#}
{%- macro ratio(part, whole) -%} cast({{ part }} as double precision) / nullif({{ whole }}, 0) {%- endmacro -%}

{#- Whether text contains a character of a range such as 2-9. -#}
{%- macro has_one_of(text, range) -%} {{ text }} ~ '[{{ range }}]' {%- endmacro -%}

{#- Whether text is empty or blank, and whether it starts or ends with a blank. -#}
{%- macro is_blank(text) -%} trim({{ text }}, ' ') = '' {%- endmacro -%}
{%- macro has_blanks_around(text) -%} {{ text }} <> trim({{ text }}, ' ') {%- endmacro -%}

{#- Text without leading and trailing blanks. -#}
{%- macro trimmed(text) -%} trim({{ text }}, ' ') {%- endmacro -%}

{%- macro least(a, b) -%} least({{ a }}, {{ b }}) {%- endmacro -%}
{%- macro greatest(a, b) -%} greatest({{ a }}, {{ b }}) {%- endmacro -%}

{#- Whether two values differ; two nulls are equal. -#}
{%- macro differs(a, b) -%} {{ a }} is distinct from {{ b }} {%- endmacro -%}
{%- macro joined(text) -%} string_agg({{ text }}, ', ' order by {{ text }}) {%- endmacro -%}

{%- macro json_row(columns) -%}
cast(row_to_json((select j from (select {{ columns | join(', ') }}) as j)) as text)
{%- endmacro -%}

{#- Tables ------------------------------------------------------------------------------------------------------ -#}

{#- Text is ordered by bytes, as on the other engines: the collation of a language would break ties differently. -#}
{%- set types = {'text': 'text collate "C"', 'integer': 'bigint', 'real': 'double precision'} -%}

{%- macro create_table(name, columns, key) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in key }},
    {% endfor %}
    primary key ({{ key | join(', ') }})
);
{%- endmacro -%}

{#- Whether a column may hold text of any length, such as an event id. Primary keys and ordinary indexes reject text above
    2,700 bytes. A hash index accepts it, but has one column and supports only equality. -#}
{%- macro is_long(column) -%}
{{ 'long' if column in ('row_key', 'event_id', 'subscription_id', 'link_id') or column.endswith(('_source', '_campaign', '_file')) }}
{%- endmacro -%}
{%- macro short(columns) -%}
{% for column in columns if not is_long(column) %}{{ ', ' if not loop.first }}{{ column }}{% endfor %}
{%- endmacro -%}

{#- A raw or computed table. Where its key may be long, each id has an index and there is no primary key. -#}
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

{#- A table that each run fills, reads as a whole and empties. -#}
{%- macro create_work_table(name, columns, key) -%} {{ create_log(name, columns, key) }} {%- endmacro -%}

{#- A table without a key, which may hold duplicates. -#}
{%- macro create_log(name, columns, filled=()) -%}
create table if not exists {{ name }} (
    {% for column, type in columns.items() %}
    {{ column }} {{ types[type] }}{{ ' not null' if column in filled }}{{ ',' if not loop.last }}
    {% endfor %}
);
{%- endmacro -%}

{#- A long column gets a hash index, which cannot be unique: only one run writes at a time, and checks find duplicates. -#}
{%- macro create_index(table, columns, is_unique=false) -%}
{% if is_long(columns[0]) %}
create index if not exists {{ table }}_{{ columns[0] }} on {{ table }} using hash ({{ columns[0] }});
{% elif not is_unique or short(columns).split(', ') == columns | list %}
create {{ 'unique ' if is_unique }}index if not exists {{ table }}_{{ short(columns).replace(', ', '_') }} on {{ table }} ({{ short(columns) }});
{% endif %}
{%- endmacro -%}

{#- The index of a refilled table stays: inserts take longer, but readers do not wait. -#}
{%- macro drop_index_to_fill(table, columns) -%}  {%- endmacro -%}

{#- An index of raw rows by an id of any length: staging validates ids later. -#}
{%- macro create_raw_index(table, column) -%}
create index if not exists {{ table }}_{{ column }} on {{ table }} using hash ({{ column }});
{%- endmacro -%}

{#- Work tables have a schema of their own, <schema>_work, which is on the search path of every connection
    (growth.engines.postgres). -#}
{%- macro enter_work_schema() -%}
select set_config('search_path', split_part(current_setting('search_path'), ',', 2) || ',' || split_part(current_setting('search_path'), ',', 1), true);
{%- endmacro -%}
{%- macro leave_work_schema() -%}
select set_config('search_path', split_part(current_setting('search_path'), ',', 2) || ',' || split_part(current_setting('search_path'), ',', 1), true);
{%- endmacro -%}

{#- Comments on a table and its columns, which database tools show. -#}
{%- macro describe(table) -%}
comment on table {{ table.name }} is {{ table.sentence | text }};
{% for name, column in table.columns.items() %}
comment on column {{ table.name }}.{{ name }} is {{ (column.sentence ~ ' [' ~ column.unit ~ ']') | text }};
{% endfor %}
{%- endmacro -%}


{#- Drops the views that read it as well: all are created again together. -#}
{%- macro drop_view(name) -%} drop view if exists {{ name }} cascade; {%- endmacro -%}

{#- A temporary table, which lasts as long as the connection. -#}
{%- macro scratch(name, query) -%}
drop table if exists pg_temp.{{ name }};
create temp table {{ name }} as
{{ query }};
analyze {{ name }};
{%- endmacro -%}

{#- Refresh the planner's statistics of a table that has been filled. -#}
{%- macro count_rows(table) -%} analyze {{ table }}; {%- endmacro -%}

{#- The same for a table of which more than a tenth is new: a run cannot wait for autovacuum. -#}
{%- macro count_rows_if_many(table, added) -%}
do $$ begin
if (select count(*) from {{ added }})
    > (select greatest(reltuples, 0) from pg_class where oid = cast('{{ table }}' as regclass)) / 10
then analyze {{ table }}; end if; end $$;
{%- endmacro -%}

{#- The order in which rows are written, so that rows that are read together are stored together. -#}
{%- macro in_order(key) -%} order by {{ key | join(', ') }} {%- endmacro -%}

{%- set join = 'inner join' -%}

{#- Keeps the planner from merging a subquery into the outer query, where each mention of a column would compute it again. -#}
{%- set fence = '\noffset 0' -%}

{#- How the rest of the transaction joins the rows in scope: without nested loops where a large part of a table is in scope.
    The planner takes the columns of a key for independent ones and so expects far fewer rows than there are. -#}
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

{#- A condition that holds for most rows. Without statistics PostgreSQL expects one row in 200 to meet it, and after
    several such conditions a single row, for which it would plan nested loops over whole tables. -#}
{%- macro likely(condition) -%} case when {{ condition }} then 1 else 0 end <> 0 {%- endmacro -%}

{#- Insert the rows of the caller's query whose keys are not in the table. -#}
{%- macro insert_new(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
{{ caller() | trim }}
on conflict do nothing;
{%- endmacro -%}

{#- The same for a large table whose columns are its key. The query must not repeat a row. -#}
{%- macro insert_keys(table, columns) -%}
insert into {{ table }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} from (
{{ caller() | trim }}
) as given ({{ columns | join(', ') }})
except
select {{ columns | join(', ') }} from {{ table }};
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

{#- Transactions ------------------------------------------------------------------------------------------------ -#}

{#- A transaction that writes a task's own tables. Several may run at once, but not beside an exclusive one. -#}
{%- macro begin() -%}
begin;
set local lock_timeout = '60s';
select pg_advisory_xact_lock_shared(hashtext(current_schema()));
{%- endmacro -%}

{#- An exclusive transaction, for landing, publishing and acquiring the lease: it is the only writer. -#}
{%- macro begin_alone() -%}
begin;
set local lock_timeout = '60s';
select pg_advisory_xact_lock(hashtext(current_schema()));
{%- endmacro -%}

{%- macro commit() -%}
commit;
{%- endmacro -%}
