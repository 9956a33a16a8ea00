{#- A table of identity, staging or intermediate: its rows in scope are computed, and the difference is applied.
    What came, went or changed is left in changed__<table>, where the scopes of the tables below look for it. -#}
{% import 'run/rows.sql' as rows with context %}
{% set t = model %}
{{ db.begin() }}
{% include 'run/hold.sql' %}
{% include 'run/how_much.sql' %}
{% if t.layer in ('identity', 'staging') %}
{% call db.insert_new('scope_batches', ['batch_date']) %}
select distinct batch_date from raw_batches
where batch_date between :first_day and :last_day
order by batch_date
{% endcall %}
{{ db.count_rows('scope_batches') }}
{% endif %}

delete from scope__{{ t.name }};
{% call db.fill_keys('scope__' ~ t.name, t.scope) %}
{{ scope_query }}
{% endcall %}
{{ db.count_rows('scope__' ~ t.name) }}
{{ db.plan_for('scope__' ~ t.name, t.name) }}

{{ db.scratch('incoming', query) }}
{# Rows that stay as they are: nearly none on any day. What is left of incoming comes. #}
{% set told = t.key | list + t.changes | reject('in', t.key) | list %}
{{ db.scratch('kept', rows.kept(t.name, t.columns, t.key, told)) }}
{{ db.scratch('gone', rows.with_keys(t.name, told, 'scope__' ~ t.name, t.scope) ~ '\nexcept\nselect ' ~ told | join(', ') ~ ' from kept') }}
delete from incoming where ({{ t.key | join(', ') }}) in (select {{ t.key | join(', ') }} from kept);
{% for side in (['gone', 'incoming'] if t.changes else []) %}
{{ db.insert_changes('changed__' ~ t.name, t.changes, side) }}
{% endfor %}
{% if t.changes %}
{{ db.count_rows('changed__' ~ t.name) }}
{% endif %}
{# By the grain, which is short: of several columns SQLite takes the first alone, and reads all rows that share it. #}
delete from {{ t.name }} where ({{ t.grain | join(', ') }}) in (select {{ t.grain | join(', ') }} from gone);
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from incoming {{ db.in_order(t.key) }};
{{ db.count_rows_if_many(t.name, 'incoming') }}

update run_state set revision = revision + (select count(*) from gone) + (select count(*) from incoming);
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, '{{ t.name }}',
    (select count(*) from gone), (select count(*) from incoming);
{{ db.commit() }}
