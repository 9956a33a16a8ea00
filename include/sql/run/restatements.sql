{#- What a publish changes in cells that counted as final, and why: asked before it replaces them.
    Final is a cell of a mature cohort, of a month of activity that is over, and how many came in a month that is over. -#}
{% set people = definitions.funnel.steps[0].people %}
{% for t in marts if t.name in ledger %}
{% set changed = ledger[t.name] %}
{% set cell = ['cohort_month'] + (['activity_month'] if 'activity_month' in t.key else []) %}
insert into restatements
    (table_name, row_key, column_name, old_value, new_value, cause, as_of_date, dag_id, run_id)
with causes as (
    {% for cause, table in {'late events': 'stg_events', 'corrected subscription': 'stg_subscriptions', 'changed user': 'stg_users'}.items() %}
    select {{ cell | join(', ') }}, '{{ cause }}' as cause
    from {{ changed }}
    where user_id in (select user_id from changed__{{ table }})
    union
    {% endfor %}
    select {{ cell | join(', ') }}, 'linked ids'
    from {{ changed }}
    where user_id in (select id from changed__int_identities union select person_id from changed__int_identities)
    union
    -- Who joins or leaves a cohort changes its size in every month.
    select c.signup_month{{ ', s.activity_month' if 'activity_month' in cell }}, 'changed user'
    from changed__stg_users as c
    {% if 'activity_month' in cell %}
    inner join scope__{{ t.name }} as s on c.signup_month <= s.activity_month
    {% endif %}
),

causes_of_cells as (
    select {{ cell | join(', ') }}, {{ db.joined('cause') }} as cause
    from (select {{ cell | join(', ') }}, cause from causes order by cause) as ordered
    group by {{ cell | join(', ') }}
),

{# Days after its month from which a cell is final. #}
{% set days = 0 if 'activity_month' in t.key else definitions.funnel.days_to_mature %}
{% for rows, after in {'final_rows': days, 'rows_of_months_over': 0}.items() if rows == 'final_rows' or people in t.columns %}
{{ rows }} as (
    select o.{{ t.key | join(', o.') }}
    from {{ t.name }} as o
    inner join calendar_months as m on o.{{ cell[-1] }} = m.month
    inner join run_state as r on m.last_day + {{ after }} <= r.published_day
    where o.{{ t.scope[0] }} in (select {{ t.scope[0] }} from scope__{{ t.name }}) or r.everything = 1
    union
    -- Rows that a month lacked when it was published; a month that was not published has nothing to restate.
    select n.{{ t.key | join(', n.') }}
    from building__{{ t.name }} as n
    inner join calendar_months as m on n.{{ cell[-1] }} = m.month
    inner join run_state as r on m.last_day + {{ after }} <= r.published_day
    where n.{{ t.scope[0] }} in (select {{ t.scope[0] }} from {{ t.name }})
),

{% endfor %}
cells as (
    {% for column in t.columns | reject('in', t.key) | reject('in', unmeasured) %}
    select
        {% for key in t.key %}
        k.{{ key }},
        {% endfor %}
        '{{ column }}' as column_name,
        o.{{ column }} as old_value,
        n.{{ column }} as new_value
    from {{ 'rows_of_months_over' if column == people else 'final_rows' }} as k
    left join {{ t.name }} as o
        on {% for key in t.key %}k.{{ key }} = o.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}

    left join building__{{ t.name }} as n
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
        when r.everything = 1 and r.definitions_hash <> r.published_hash then 'new definition'
        when r.everything = 1 then 'rebuild'
        else causes_of_cells.cause
    end,
    r.as_of_date,
    :dag_id,
    :run_id
from cells
cross join run_state as r
left join causes_of_cells
    on {% for key in cell %}cells.{{ key }} = causes_of_cells.{{ key }}{{ ' and ' if not loop.last }}{% endfor %};
{% endfor %}
