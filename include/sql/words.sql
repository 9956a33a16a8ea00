{#- Words of the dictionary that more than one model needs as SQL. Templates import this file as `words`. -#}

{#- An event that makes its day an active one of its user: meaningful, and not before the day of the signup.
    Written as a difference: as a range, SQLite would read all later days of the user to find this one. -#}
{%- macro is_active(event, day, user) -%}
{{ event }}.is_meaningful = 1 and {{ day }} - {{ user }}.signup_day >= 0
{%- endmacro -%}

{#- An id, or null where it is none: a word such as null or undefined, quoted or not, or zeros and dashes alone. -#}
{%- macro real_id(text) -%}
case
    when lower({{ db.stripped(text, "' \"'''") }}) in ({{ definitions.identity.no_ids | map('lower') | list | values }}) then null
    when {{ db.stripped(text, "' 0-'") }} = '' then null
    else {{ text }}
end
{%- endmacro -%}
