{#- A mart: its rows in scope are built aside, in building__<table>. Nobody reads them before they are published. -#}
{% set t = model %}
{{ db.begin() }}
{% include 'run/hold.sql' %}
{% include 'run/how_much.sql' %}
delete from scope__{{ t.name }};
{% call db.insert_keys('scope__' ~ t.name, t.scope) %}
{{ scope_query }}
{% endcall %}
{{ db.count_rows('scope__' ~ t.name) }}

delete from building__{{ t.name }};
insert into building__{{ t.name }} ({{ t.columns | join(', ') }})
{{ query }};

delete from built where table_name = '{{ t.name }}';
insert into built (table_name, revision, definitions_hash)
select '{{ t.name }}', revision, '{{ hash }}' from run_state;
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = '{{ t.name }}';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, '{{ t.name }}', 0, count(*) from building__{{ t.name }};
{{ db.commit() }}
