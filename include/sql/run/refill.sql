{#- A table of identity, staging or intermediate, all of whose rows are computed: of a first load, and where the definitions
    have changed or a rebuild was asked for. No table below asks what changed: all of it is computed, too. -#}
{% set t = model %}
{{ db.begin() }}
{% include 'run/hold.sql' %}
{% include 'run/how_much.sql' %}
{% if scope_query %}
delete from scope__{{ t.name }};
{% call db.fill_keys('scope__' ~ t.name, t.scope) %}
{{ scope_query }}
{% endcall %}
{{ db.count_rows('scope__' ~ t.name) }}
{% endif %}
{{ db.plan_for_all() }}

delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed)
select :dag_id, :run_id, '{{ t.name }}', count(*) from {{ t.name }};
delete from {{ t.name }};
{% for index in t.indexes + ([t.grain] if t.key != t.grain else []) %}
{{ db.drop_index_to_fill(t.name, index) }}
{% endfor %}
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from (
{{ query }}
) as incoming
{{ db.in_order(t.key) }};
{% include 'run/indexes.sql' %}
{{ db.count_rows(t.name) }}

update run_steps set rows_written = (select count(*) from {{ t.name }})
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
update run_state set revision = revision + (
    select rows_removed + rows_written
    from run_steps
    where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}'
);
{{ db.commit() }}
