{#- All marts change at once: their rows in scope are replaced, and the scope is done with, in one transaction. -#}
{% import 'run/rows.sql' as rows with context %}
{{ db.begin_alone() }}
{% include 'run/hold.sql' %}
{% for t in marts %}
select 'Table {{ t.name }} was built from other rows or definitions than there are now: clear its task, and those below.'
    as refusal
from run_state as r
left join built as b on b.table_name = '{{ t.name }}' and b.revision = r.revision
    and b.definitions_hash = r.definitions_hash
where b.table_name is null;
{% endfor %}


{% include 'run/restatements.sql' %}
{% for t in marts %}

delete from {{ t.name }} where ({{ t.key | join(', ') }}) in (
{{ rows.all_if_everything(t.name, t.key) }}
);
delete from {{ t.name }}
where ({{ t.scope | join(', ') }}) in (select {{ t.scope | join(', ') }} from scope__{{ t.name }});
insert into {{ t.name }} ({{ t.columns | join(', ') }})
select {{ t.columns | join(', ') }} from building__{{ t.name }} order by {{ t.key | join(', ') }};
{% endfor %}

delete from run_steps
where dag_id = :dag_id and run_id = :run_id and task_id = 'publish';
insert into run_steps (dag_id, run_id, task_id, rows_removed, rows_written)
select :dag_id, :run_id, 'publish', 0,
    {% for t in marts %}(select count(*) from building__{{ t.name }}){{ ' + ' if not loop.last }}{% endfor %};

delete from scope_batches;
delete from replaced_users;
delete from replaced_subscriptions;
{% for t in refreshed %}
delete from scope__{{ t.name }};
{% if t.changes %}
delete from changed__{{ t.name }};
{% endif %}
{% endfor %}
{% for t in marts %}
delete from scope__{{ t.name }};
delete from building__{{ t.name }};
{% endfor %}
delete from built;
update run_state set
    published_date = as_of_date,
    published_day = as_of_day,
    published_month = as_of_month,
    published_hash = definitions_hash,
    published_run_id = :run_id,
    everything = 0;
delete from lease;
{{ db.commit() }}
