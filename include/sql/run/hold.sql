{#- The first words of every transaction of a run: nobody else's run is under way. A refusal stops the task. -#}
select 'The warehouse is held by run ' || run_id || ' of ' || dag_id
    || ': let that run end or mark it as failed, then clear this task.' as refusal
from lease
where dag_id <> :dag_id or run_id <> :run_id;
{% call db.insert_new('lease', ['"only"', 'dag_id', 'run_id']) %}
values (1, :dag_id, :run_id)
{% endcall %}
