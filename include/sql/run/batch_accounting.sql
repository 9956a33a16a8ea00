{#- What became of the rows of each batch: landed = staged + duplicates + rejected. -#}
{{ db.drop_view('batch_accounting') }}
create view batch_accounting as
{% for raw, staged in {'raw_users': 'stg_users', 'raw_events': 'stg_events', 'raw_subscriptions': 'stg_subscriptions'}.items() %}
select
    b.batch_date,
    b.table_name,
    b.rows_landed,
    (select count(*) from {{ staged }} as s where s.batch_date = b.batch_date) as rows_staged,
    (
        -- A duplicate is not rejected, and another row of its id counts.
        select count(*)
        from {{ raw }} as t
        {% if raw == 'raw_users' %}
        left join int_identities as i on t.user_id = i.id
        inner join {{ staged }} as s on coalesce(i.person_id, t.user_id) = s.user_id
        {% else %}
        inner join {{ staged }} as s on t.{{ raw_tables[raw][0] }} = s.{{ raw_tables[raw][0] }}
        {% endif %}
        left join rejects as j
            on t.batch_date = j.batch_date and j.table_name = b.table_name
            and t.source_file = j.source_file and t.source_row = j.source_row
        where t.batch_date = b.batch_date
            and (t.batch_date, t.source_file, t.source_row) <> (s.batch_date, s.source_file, s.source_row)
            and j.batch_date is null
    ) as rows_duplicate,
    (select count(*) from rejects as j where j.batch_date = b.batch_date and j.table_name = b.table_name) as rows_rejected
from raw_batches as b
where b.table_name = '{{ raw }}'
union all
{% endfor %}
-- An accepted link has several rows in int_id_links: here it is counted once.
select
    b.batch_date,
    b.table_name,
    b.rows_landed,
    coalesce(c.rows_staged, 0) as rows_staged,
    0 as rows_duplicate,
    (select count(*) from rejects as j where j.batch_date = b.batch_date and j.table_name = b.table_name) as rows_rejected
from raw_batches as b
left join (
    select t.batch_date, count(*) as rows_staged
    from (
{{ typed('raw_links', 'raw_links') }}
    ) as t
    where t.reject_reason is null
    group by t.batch_date
) as c on b.batch_date = c.batch_date
where b.table_name = 'raw_links';
