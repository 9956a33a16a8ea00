{#- The rows of a mart after the publish of the run: published rows out of scope, and built rows in scope. -#}
select {{ t.columns | join(', ') }} from {{ t.name }}
where ({{ t.partition | join(', ') }}) not in (select {{ t.partition | join(', ') }} from work_scope__{{ t.name }})
    and not exists (
        select 1 from work_table_state where table_name = '{{ t.name }}' and whole_because is not null
    )
union all
select {{ t.columns | join(', ') }} from work_building__{{ t.name }}
