{#- The first statements of every transaction of a run: acquire the lease, unless another run holds it. A refusal stops the task. -#}
select 'The warehouse is held by run ' || run_id || ' of ' || dag_id
    || ': let that run end or mark it as failed, then clear this task.' as refusal
from work_lease
where dag_id <> :dag_id or run_id <> :run_id;
{% call db.insert_new('work_lease', ['"only"', 'dag_id', 'run_id']) %}
values (1, :dag_id, :run_id)
{% endcall +%}
