{#- Publishes all marts in one transaction: replaces their rows in scope, then clears the scope. -#}
{% import 'run/rows.sql' as rows with context %}
{{ db.begin_alone() }}
{% include 'run/acquire_lease.sql' +%}
select 'Table ' || b.table_name || ' was built from other rows or definitions than there are now: clear its task, and those below.'
    as refusal
from run_state as r
inner join work_table_state as b on b.built_revision is null or b.built_revision <> r.revision
where b.table_name in ({% for t in marts %}'{{ t.name }}'{{ ', ' if not loop.last }}{% endfor %});
{% for t in marts if t.ledger %}
{% include 'run/restatements.sql' +%}
{% endfor %}
{% for t in marts %}
delete from {{ t.name }} where ({{ t.key | join(', ') }}) in (
{{ rows.all_if_whole(t.name, t.key) }}
);
delete from {{ t.name }}
where ({{ t.partition | join(', ') }}) in (select {{ t.partition | join(', ') }} from work_scope__{{ t.name }});
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from work_building__{{ t.name }} order by {{ t.key | join(', ') }};
{% endfor %}
delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = 'publish';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, 'publish', 0,
    {% for t in marts %}(select count(*) from work_building__{{ t.name }}){{ ' + ' if not loop.last }}{% endfor %};
delete from work_scope_batches;
delete from work_replaced_users;
delete from work_replaced_subscriptions;
{% for t in upper_tables + marts %}
delete from work_scope__{{ t.name }};
{% if t.changes %}
delete from work_changed__{{ t.name }};
{% endif %}
{% if t.layer == 'marts' %}
delete from work_building__{{ t.name }};
{% endif %}
{% endfor %}
update work_table_state set published_fingerprint = fingerprint, whole_because = null, built_revision = null;
update run_state set
    published_date = as_of_date,
    published_day = as_of_day,
    published_month = as_of_month,
    published_run_id = :run_id;
delete from work_lease;
{{ db.commit() }}
