-- Active days fit into the window, features into the dictionary, and no activity is after the as-of day.
{% set days = 'active_days_' ~ definitions.health.window_days ~ 'd' %}
select h.user_id, h.{{ days }}, h.features_used, h.last_active_date, r.as_of_date
from work_building__dim_user_health as h
cross join run_state as r
where h.{{ days }} not between 0 and {{ definitions.health.window_days }}
    or h.features_used not between 0 and {{ definitions.features.names | length }}
    or h.last_active_date > r.as_of_date
    or (h.{{ days }} > 0 and h.last_active_date is null)
