-- A user's active day counts every meaningful event of that day in staging, from the signup day on.
with staged as (
    select e.user_id, e.event_day as activity_day, count(*) as events
    from {{ words.in_scope('stg_events', 'e', {'user_id': 'user_id', 'activity_day': 'event_day'}, of='int_user_engagement') }}
    inner join stg_users as u on e.user_id = u.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}
    group by e.user_id, e.event_day
)

select g.user_id, g.activity_day, c.events as events_counted, g.events as events_staged
from staged as g
left join int_user_engagement as c on g.activity_day = c.activity_day and g.user_id = c.user_id
where c.events is null or c.events <> g.events
