{#- A task must compute its table with the files, the dictionary and the extent (scope or whole) that the landing has set. -#}
select 'Table {{ t.name }} has another definition than the landing of this run: clear the task generate and those below.'
    as refusal
from work_table_state
where table_name = '{{ t.name }}' and fingerprint <> '{{ fingerprint }}';
select 'What this run computes of {{ t.name }}, all of it or its rows in scope, has been decided anew: try this task again.'
    as refusal
from work_table_state
where table_name = '{{ t.name }}' and whole_because is {{ 'null' if whole else 'not null' }};
