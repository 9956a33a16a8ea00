{#- Deletes the raw rows of some people and puts their batches in scope, so that a run removes everything computed from them. -#}
{% set ids = {
    'raw_users': ['user_id'],
    'raw_events': ['user_id', 'anonymous_id'],
    'raw_subscriptions': ['user_id'],
    'raw_links': ['user_id', 'other_user_id', 'anonymous_id', 'other_anonymous_id'],
} %}
{{ db.begin_alone() }}
{% include 'run/acquire_lease.sql' +%}
-- All ids of the people to erase, including devices that belong to no other person.
insert into erased_ids (kind, id)
with people as (
    select distinct coalesce(i.person_id, a.id) as person_id
    from erased_ids as a
    left join int_identities as i on a.id = i.id
    where a.kind = 'asked'
),

owned as (
    select id from erased_ids where kind = 'asked'
    union
    select person_id from people
    union
    select i.id
    from people as p
    inner join int_identities as i on p.person_id = i.person_id
    where i.id not in (select id from int_identities where person_id not in (select person_id from people))
)

select 'id', id from owned
union
select 'event', e.event_id
from people as p
inner join stg_events as e on p.person_id = e.user_id
union
select 'subscription', c.subscription_id
from people as p
inner join stg_subscriptions as c on p.person_id = c.user_id;

{% for table, columns in ids.items() %}
{% set own %}
where {% for column in columns %}
    {% set id = "trim(t." ~ column ~ ", ' ')" %}
    {{ 'or ' if not loop.first }}{{ words.device(id) if 'anonymous' in column else id }}
        in (select id from erased_ids where kind = 'id')
{% endfor %}
{% if table in ('raw_events', 'raw_subscriptions') %}
    or t.{{ raw_tables[table][0] }} in (select id from erased_ids where kind = '{{ table[4:-1] }}')
{% endif %}
{% endset %}
insert into erased_rows (table_name, batch_date, rows_erased)
select '{{ table }}', t.batch_date, count(*)
from {{ table }} as t
{{ own }}
group by t.batch_date;
{% if table == 'raw_subscriptions' %}
{% call db.insert_keys('work_replaced_subscriptions', ['subscription_id']) %}
select subscription_id
from (
    select distinct t.subscription_id
    from raw_subscriptions as t
    {{ own }}
) as own_subscriptions
where subscription_id is not null
{% endcall +%}
{% endif %}
delete from {{ table }} as t
{{ own }};
{% endfor %}

update raw_batches set rows_landed = rows_landed - (
    select e.rows_erased from erased_rows as e
    where e.table_name = raw_batches.table_name and e.batch_date = raw_batches.batch_date
)
where (table_name, batch_date) in (select table_name, batch_date from erased_rows);
{% call db.insert_new('work_scope_batches', ['batch_date']) %}
select distinct batch_date from erased_rows
{% endcall +%}
{% call db.insert_keys('work_replaced_users', ['user_id']) %}
select id from erased_ids where kind = 'id'
{% endcall +%}
