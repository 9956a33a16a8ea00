{#- A table of identity, staging or intermediate: its rows in scope are computed, and the difference is applied.
    What came, went or changed is left in changed__<table>, where the scopes of the tables below look for it. -#}
{% set t = model %}
{{ db.begin() }}
{% include 'run/hold.sql' %}
{% if t.layer in ('identity', 'staging') %}
{{ db.insert_new('scope_batches', ['batch_date']) }}
select distinct batch_date from raw_batches
where batch_date between {{ db.param('first_day') }} and {{ db.param('last_day') }};
{% endif %}

delete from scope__{{ t.name }};
{{ db.insert_new('scope__' ~ t.name, t.scope) }}
{{ scope_query }};

{{ db.scratch('incoming', query) }}
{% if t.changes %}
{{ db.insert_new('changed__' ~ t.name, t.changes) }}
{{ db.all_if_everything(t.name, t.changes) }};
{% endif %}
delete from {{ t.name }} where ({{ t.key | join(', ') }}) in (
{{ db.all_if_everything(t.name, t.key) }}
);

{% set present = db.rows_of(t.name, t.columns, 'scope__' ~ t.name, t.scope) %}
{{ db.scratch('gone', present ~ '\nexcept\nselect ' ~ t.columns | join(', ') ~ ' from incoming') }}
{{ db.scratch('came', 'select ' ~ t.columns | join(', ') ~ ' from incoming\nexcept\n' ~ present) }}
{% for side in (['gone', 'came'] if t.changes else []) %}
{{ db.insert_new('changed__' ~ t.name, t.changes) }}
select distinct {{ t.changes | join(', ') }} from {{ side }};
{% endfor %}
{# By the grain: of a longer key, SQLite takes the first column alone, and reads all rows of a day for one of them. #}
delete from {{ t.name }} where ({{ t.grain | join(', ') }}) in (select {{ t.grain | join(', ') }} from gone);
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from came order by {{ t.key | join(', ') }};

update run_state set revision = revision + (select count(*) from gone) + (select count(*) from came);
delete from run_steps
where dag_id = {{ db.param('dag_id') }} and run_id = {{ db.param('run_id') }} and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select {{ db.param('dag_id') }}, {{ db.param('run_id') }}, '{{ t.name }}',
    (select count(*) from gone), (select count(*) from came);
{{ db.commit() }}
