{#- Words of the dictionary that more than one model needs as SQL. Templates import this file as `words`. -#}

{#- An event that makes its day an active one of its user: meaningful, and not before the day of the signup.
    Written as a difference: as a range, SQLite would read all later days of the user to find this one. -#}
{%- macro is_active(event, day, user) -%}
{{ event }}.is_meaningful = 1 and {{ day }} - {{ user }}.signup_day >= 0
{%- endmacro -%}
