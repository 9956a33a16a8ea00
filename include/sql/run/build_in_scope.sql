{#- Builds a table of identity, staging or intermediate: computes its rows in scope and applies the difference.
    Added, removed and changed rows are recorded in work_changed__<table>, which the scopes of downstream tables read. -#}
{% import 'run/rows.sql' as rows with context %}
{{ db.begin() }}
{% include 'run/acquire_lease.sql' +%}
{% include 'run/refuse_other_state.sql' +%}
{% if t.layer in ('identity', 'staging') %}
{% call db.insert_new('work_scope_batches', ['batch_date']) %}
select distinct batch_date from raw_batches
where batch_date between :first_day and :last_day
order by batch_date
{% endcall +%}
{{ db.count_rows('work_scope_batches') }}
{% endif %}
delete from work_scope__{{ t.name }};
{% call db.fill_keys('work_scope__' ~ t.name, t.partition) %}
{{ scope_query }}
{% endcall +%}
{{ db.count_rows('work_scope__' ~ t.name) }}
{{ db.plan_for('work_scope__' ~ t.name, t.name) }}
{{ db.scratch('incoming', query) }}
{# The key, and the columns that tell downstream tables what changed. #}
{% set told = t.key | list + t.changes | reject('in', t.key) | list %}
{# On an ordinary day nearly all rows in scope differ; the others are not written. #}
{{ db.scratch('unchanged', rows.unchanged(t.name, t.columns, t.key, told)) }}
{{ db.scratch('removed', rows.with_keys(t.name, told, 'work_scope__' ~ t.name, t.partition) ~ '\nexcept\nselect ' ~ told | join(', ') ~ ' from unchanged') }}
delete from incoming where ({{ t.key | join(', ') }}) in (select {{ t.key | join(', ') }} from unchanged);
{% for side in (['removed', 'incoming'] if t.changes else []) %}
{{ db.insert_changes('work_changed__' ~ t.name, t.changes, side) }}
{% endfor %}
{% if t.changes %}
{{ db.count_rows('work_changed__' ~ t.name) }}
{% endif %}
{# By the grain, which has few columns: SQLite uses only the first column of an index here and reads all rows that share it. #}
delete from {{ t.name }} where ({{ t.grain | join(', ') }}) in (select {{ t.grain | join(', ') }} from removed);
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from incoming {{ db.in_order(t.key) }};
{{ db.count_rows_if_many(t.name, 'incoming') }}
update run_state set revision = revision + (select count(*) from removed) + (select count(*) from incoming);
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, '{{ t.name }}',
    (select count(*) from removed), (select count(*) from incoming);
{{ db.commit() }}
