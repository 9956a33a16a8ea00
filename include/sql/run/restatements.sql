{#- Records the final cells of a mart that a publish is about to change, with the cause.
    The mart's description says when its cells are final and which table's changes cause restatements. -#}
{% set ledger, cell = t.ledger, t.ledger.cell %}
insert into restatements
    (table_name, row_key, column_name, old_value, new_value, cause, as_of_date, dag_id, run_id)
with causes as (
    {% for cause, table in {'late events': 'stg_events', 'corrected subscription': 'stg_subscriptions', 'changed user': 'stg_users'}.items() %}
    select {{ cell | join(', ') }}, '{{ cause }}' as cause
    from work_changed__{{ ledger.caused_by }}
    where user_id in (select user_id from work_changed__{{ table }})
    union
    {% endfor %}
    select {{ cell | join(', ') }}, 'linked ids'
    from work_changed__{{ ledger.caused_by }}
    where user_id in (select id from work_changed__int_identities union select person_id from work_changed__int_identities)
    {% if 'cohort_month' in cell %}
    union
    -- A user who joins or leaves a cohort changes the size of the cohort in every month.
    select c.signup_month{{ ', s.' ~ ledger.month if ledger.month != 'cohort_month' }}, 'changed user'
    from work_changed__stg_users as c
    {% if ledger.month != 'cohort_month' %}
    inner join work_scope__{{ t.name }} as s on c.signup_month <= s.{{ ledger.month }}
    {% endif %}
    {% endif %}
),

causes_of_cells as (
    select {{ cell | join(', ') }}, {{ db.joined('cause') }} as cause
    from (select {{ cell | join(', ') }}, cause from causes order by cause) as ordered
    group by {{ cell | join(', ') }}
),

{# One set of final rows for each number of days after which columns are final. #}
{% for days in [ledger.final_after_days] + ledger.column_final_after_days.values() | reject('eq', ledger.final_after_days) | unique | list %}
final_after_{{ days }}_days as (
    select o.{{ t.key | join(', o.') }}
    from {{ t.name }} as o
    inner join calendar_months as m on o.{{ ledger.month }} = m.month
    inner join run_state as r on m.last_day + {{ days }} <= r.published_day
    where o.{{ t.partition[0] }} in (select {{ t.partition[0] }} from work_scope__{{ t.name }})
        or exists (select 1 from work_table_state where table_name = '{{ t.name }}' and whole_because is not null)
    union
    -- Rows that a published month did not have; an unpublished month has nothing to restate.
    select n.{{ t.key | join(', n.') }}
    from work_building__{{ t.name }} as n
    inner join calendar_months as m on n.{{ ledger.month }} = m.month
    inner join run_state as r on m.last_day + {{ days }} <= r.published_day
    where n.{{ t.partition[0] }} in (select {{ t.partition[0] }} from {{ t.name }})
),

{% endfor %}
cells as (
    {% for column in t.columns | reject('in', t.key) | reject('in', ledger.calendar_columns) %}
    select
        {% for key in t.key %}
        k.{{ key }},
        {% endfor %}
        '{{ column }}' as column_name,
        o.{{ column }} as old_value,
        n.{{ column }} as new_value
    from final_after_{{ ledger.column_final_after_days.get(column, ledger.final_after_days) }}_days as k
    left join {{ t.name }} as o
        on {% for key in t.key %}k.{{ key }} = o.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}

    left join work_building__{{ t.name }} as n
        on {% for key in t.key %}k.{{ key }} = n.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}

    where {{ db.differs('o.' ~ column, 'n.' ~ column) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    '{{ t.name }}',
    cells.{{ t.key | join(" || ' ' || cells.") }},
    cells.column_name,
    cells.old_value,
    cells.new_value,
    case
        when :dag_id = 'saas_growth_erase' then 'erased person'
        else coalesce(w.whole_because, causes_of_cells.cause)
    end,
    r.as_of_date,
    :dag_id,
    :run_id
from cells
cross join run_state as r
inner join work_table_state as w on w.table_name = '{{ t.name }}'
left join causes_of_cells
    on {% for key in cell %}cells.{{ key }} = causes_of_cells.{{ key }}{{ ' and ' if not loop.last }}{% endfor %};
