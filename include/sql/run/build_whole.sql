{#- Computes all rows of a table of identity, staging or intermediate: in a first load, after a change of its definition,
    or in a rebuild. Downstream tables compute all their rows as well, so that changes need not be recorded. -#}
{{ db.begin() }}
{% include 'run/acquire_lease.sql' +%}
{% include 'run/refuse_other_state.sql' +%}
{% if scope_query %}
delete from work_scope__{{ t.name }};
{% call db.fill_keys('work_scope__' ~ t.name, t.partition) %}
{{ scope_query }}
{% endcall +%}
{{ db.count_rows('work_scope__' ~ t.name) }}
{% endif %}
{{ db.plan_for_all() }}
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed)
select :dag_id, :run_id, '{{ t.name }}', count(*) from {{ t.name }};
delete from {{ t.name }};
{% for index in t.all_indexes %}
{{ db.drop_index_to_fill(t.name, index) }}
{% endfor %}
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from (
{{ query }}
) as incoming
{{ db.in_order(t.key) }};
{% include 'run/indexes.sql' +%}
{{ db.count_rows(t.name) }}
update run_steps set rows_written = (select count(*) from {{ t.name }})
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
update run_state set revision = revision + (
    select rows_removed + rows_written
    from run_steps
    where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}'
);
{{ db.commit() }}
