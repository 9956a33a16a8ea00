{#- Words of the dictionary that more than one model needs as SQL. Templates import this file as `words`. -#}

{#- An event that makes its day an active one of its user: meaningful, and not before the day of the signup.
    Written as a difference: as a range, SQLite would read all later days of the user to find this one. -#}
{%- macro is_active(event, day, user) -%}
{{ event }}.is_meaningful = 1 and {{ day }} - {{ user }}.signup_day >= 0
{%- endmacro -%}

{#- How many days back anybody looks for an earlier active day of a user: to the first of a month, to the month before. -#}
{%- macro lookback_days() -%} {{ [31, 2 * definitions.active.month_days] | max }} {%- endmacro -%}

{%- macro first_day_of_month(day) -%} {{ db.day_of_date(db.month_of_day(day)) }} {%- endmacro -%}

{#- A raw row that counts: reading its text has found no reason to reject it. -#}
{%- macro is_accepted(row) -%} {{ db.likely(row ~ '.reject_reason is null') }} {%- endmacro -%}

{#- The first row of those that row_number() has put in order. -#}
{%- macro is_first(place) -%} {{ db.likely(place ~ ' = 1') }} {%- endmacro -%}

{#- The event types that the funnel looks at. -#}
{%- macro funnel_event_types() -%}
{{ (definitions.funnel.event_types + (definitions.active.meaningful_events if definitions.funnel.counts_active_days else []))
    | unique | sort | values }}
{%- endmacro -%}

{#- The numbers from 0 to one below a limit, as the rows of a query. -#}
{%- macro numbers(limit) -%}
{% for number in range(limit) %}
    select {{ number }} as number
    {% if not loop.last %}
    union all
    {% endif %}
{% endfor %}
{%- endmacro -%}

{#- An id, or null where it is none: a word such as null or undefined, quoted or not, or zeros and dashes alone. -#}
{%- macro real_id(text) -%}
{% set no_ids = definitions.identity.no_ids | map('lower') | list %}
case
    {% if not no_ids | join | select('in', '23456789') | list %}
    -- Nearly every id: no word of the list has such a digit, and to look for one costs least.
    when {{ db.has_one_of(text, '2-9') }} then {{ text }}
    {% endif %}
    when lower(trim({{ text }}, ' "''')) in ({{ no_ids | values }}) then null
    when trim({{ text }}, ' 0-') = '' then null
    else {{ text }}
end
{%- endmacro -%}

{#- An id of a user or a device that nothing gives out. -#}
{%- macro is_too_long(id) -%} length({{ id }}) > {{ definitions.quality.longest_user_id }} {%- endmacro -%}

{#- A device has a name that no user id is mistaken for; as long as nobody was seen on it, it is a person by itself. -#}
{%- macro device(anonymous_id) -%} 'anonymous:' || {{ anonymous_id }} {%- endmacro -%}
{%- macro is_device(id) -%} case when substr({{ id }}, 1, 10) = 'anonymous:' then 1 else 0 end {%- endmacro -%}

{#- A link that makes one of its two ids: an explicit one, or any where everybody seen on a device is one person,
    unless too many were. -#}
{%- macro unites(link) -%}
{% if definitions.identity.anonymous_rows == 'components' %}
({{ link }}.kind = 'same' or (
    select count(distinct d.other_id)
    from int_id_links as d
    where d.id = case when {{ link }}.kind = 'seen_on' then {{ link }}.other_id else {{ link }}.id end
        and d.kind = 'seen_user'
) <= {{ definitions.identity.max_users }})
{%- else -%}
{{ link }}.kind = 'same'
{%- endif %}
{%- endmacro -%}

{#- Where a run computes the whole table, all rows of the tables that it reads count as changed. -#}
{%- macro changed(table) -%} {{ table if whole else 'work_changed__' ~ table }} {%- endmacro -%}

{#- The batches that a run looks at. -#}
{%- macro batches() -%} {{ 'raw_batches' if whole else 'work_scope_batches' }} {%- endmacro -%}

{#- The partitions of a table that a run computes: where it computes the whole table, those that there are. -#}
{%- macro scope(table) -%} {{ table if whole else 'work_scope__' ~ table }} {%- endmacro -%}

{#- The rows of a table that belong to partitions in scope, its own or those of another table, by the columns that name one:
    all rows where a run computes the whole table. -#}
{%- macro in_scope(table, name, key, of=none) -%}
{% if whole %}
{{ table }} as {{ name }}
{%- else -%}
work_scope__{{ of or table }} as s
    {{ db.join }} {{ table }} as {{ name }}
    {% for column in key %}
        {{ 'on' if loop.first else 'and' }} s.{{ column }} = {{ name }}.{{ key[column] if key is mapping else column }}
    {% endfor %}
{%- endif %}
{%- endmacro -%}

{#- The rows of a table that belong to the batches of the run. -#}
{%- macro of_batches(table, name) -%}
work_scope_batches as {{ name }}_batches
    {{ db.join }} {{ table }} as {{ name }} on {{ name }}_batches.batch_date = {{ name }}.batch_date
{%- endmacro -%}

{#- For each step of the funnel but the first: which share of the people of the step before have reached it. -#}
{%- macro step_rates(people) -%}
{% for step in definitions.funnel.steps[1:] %}
{% set before = definitions.funnel.steps[loop.index0] %}
{{ '\n    ' if not loop.first }}{{ db.ratio(people ~ '.' ~ step.people, people ~ '.' ~ before.people) }} as {{ before.noun }}_to_{{ step.noun }}_rate,
{%- endfor %}
{%- endmacro -%}

{#- The day on which the last window of a cohort's month closes, as a number; from then on its numbers are mature. -#}
{%- macro maturity_day(month) -%} {{ month }}.last_day + {{ definitions.funnel.days_to_mature }} {%- endmacro -%}
