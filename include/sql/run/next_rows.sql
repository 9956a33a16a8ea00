{#- The rows that a mart will have once the run has published: those out of scope stay, those in scope have been built. -#}
select {{ t.columns | join(', ') }} from {{ t.name }}
where ({{ t.partition | join(', ') }}) not in (select {{ t.partition | join(', ') }} from work_scope__{{ t.name }})
    and not exists (
        select 1 from work_table_state where table_name = '{{ t.name }}' and whole_because is not null
    )
union all
select {{ t.columns | join(', ') }} from work_building__{{ t.name }}
