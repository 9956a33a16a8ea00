{#- SQL that several tables share. Templates import this file as `words`. -#}

{#- An event that makes a day active: meaningful, and not before the signup day of its user.
    Written as a difference: for a range, SQLite would read all later days of the user. -#}
{%- macro is_active(event, day, user) -%}
{{ event }}.is_meaningful = 1 and {{ day }} - {{ user }}.signup_day >= 0
{%- endmacro -%}

{#- How many days back an earlier active day matters: within the calendar month, and within two activity months. -#}
{%- macro lookback_days() -%} {{ [31, 2 * definitions.active.month_days] | max }} {%- endmacro -%}

{%- macro first_day_of_month(day) -%} {{ db.day_of_date(db.month_of_day(day)) }} {%- endmacro -%}

{#- A raw row without a reason to reject it. -#}
{%- macro is_accepted(row) -%} {{ db.likely(row ~ '.reject_reason is null') }} {%- endmacro -%}

{#- The first row by row_number(). -#}
{%- macro is_first(place) -%} {{ db.likely(place ~ ' = 1') }} {%- endmacro -%}

{#- The event types that funnel steps use. -#}
{%- macro funnel_event_types() -%}
{{ (definitions.funnel.event_types + (definitions.active.meaningful_events if definitions.funnel.counts_active_days else []))
    | unique | sort | values }}
{%- endmacro -%}

{#- A query for the numbers from 0 up to, but not including, a limit. -#}
{%- macro numbers(limit) -%}
{% for number in range(limit) %}
    select {{ number }} as number
    {% if not loop.last %}
    union all
    {% endif %}
{% endfor %}
{%- endmacro -%}

{#- An id, or null for a placeholder: a word such as null or undefined, quoted or not, or only zeros and dashes. -#}
{%- macro real_id(text) -%}
{% set no_ids = definitions.identity.no_ids | map('lower') | list %}
case
    {% if not no_ids | join | select('in', '23456789') | list %}
    -- The cheapest test comes first: nearly every id has such a digit, and no placeholder has one.
    when {{ db.has_one_of(text, '2-9') }} then {{ text }}
    {% endif %}
    when lower(trim({{ text }}, ' "''')) in ({{ no_ids | values }}) then null
    when trim({{ text }}, ' 0-') = '' then null
    else {{ text }}
end
{%- endmacro -%}

{#- A user or device id that is longer than real ones. -#}
{%- macro is_too_long(id) -%} length({{ id }}) > {{ definitions.quality.longest_user_id }} {%- endmacro -%}

{#- The id of a device has a prefix that no user id has. Until a user is seen on the device, it is a person of its own. -#}
{%- macro device(anonymous_id) -%} 'anonymous:' || {{ anonymous_id }} {%- endmacro -%}
{%- macro is_device(id) -%} case when substr({{ id }}, 1, 10) = 'anonymous:' then 1 else 0 end {%- endmacro -%}

{#- A link that makes its two ids one person: an explicit link or, where a device unites its users (`components`), any link
    of a device that at most max_users users share. -#}
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

{#- The changed rows of a table; all its rows where the run computes the whole table. -#}
{%- macro changed(table) -%} {{ table if whole else 'work_changed__' ~ table }} {%- endmacro -%}

{#- The batches in scope. -#}
{%- macro batches() -%} {{ 'raw_batches' if whole else 'work_scope_batches' }} {%- endmacro -%}

{#- The partitions of a table in scope; the table itself where the run computes all of it. -#}
{%- macro scope(table) -%} {{ table if whole else 'work_scope__' ~ table }} {%- endmacro -%}

{#- The rows of a table in scope, joined by the columns in `key` to its own partitions or to those of the table `of`;
    all rows where the run computes the whole table. -#}
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

{#- The rows of a table that belong to the batches in scope. -#}
{%- macro of_batches(table, name) -%}
work_scope_batches as {{ name }}_batches
    {{ db.join }} {{ table }} as {{ name }} on {{ name }}_batches.batch_date = {{ name }}.batch_date
{%- endmacro -%}

{#- For each step but the first: the share of the previous step's people who reached it. -#}
{%- macro step_rates(people) -%}
{% for step in definitions.funnel.steps[1:] %}
{% set before = definitions.funnel.steps[loop.index0] %}
{{ '\n    ' if not loop.first }}{{ db.ratio(people ~ '.' ~ step.people, people ~ '.' ~ before.people) }} as {{ before.noun }}_to_{{ step.noun }}_rate,
{%- endfor %}
{%- endmacro -%}

{#- The day number on which the last window of a month's cohort closes: from then on its numbers are mature. -#}
{%- macro maturity_day(month) -%} {{ month }}.last_day + {{ definitions.funnel.days_to_mature }} {%- endmacro -%}
