{#- Builds the rows of a mart in scope in work_building__<table>, apart from the published ones. The publish replaces these. -#}
{{ db.begin() }}
{% include 'run/acquire_lease.sql' +%}
{% include 'run/refuse_other_state.sql' +%}
delete from work_scope__{{ t.name }};
{% call db.insert_keys('work_scope__' ~ t.name, t.partition) %}
{{ scope_query }}
{% endcall +%}
{{ db.count_rows('work_scope__' ~ t.name) }}
delete from work_building__{{ t.name }};
insert into work_building__{{ t.name }} ({{ t.columns | join(', ') }})
{{ query }};
update work_table_state set built_revision = (select revision from run_state) where table_name = '{{ t.name }}';
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, '{{ t.name }}', 0, count(*) from work_building__{{ t.name }};
{{ db.commit() }}
