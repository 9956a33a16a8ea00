-- The events of a user's active day are the meaningful ones in staging, where it is not before their signup.
with staged as (
    select s.user_id, s.activity_day, count(*) as events
    from scope__int_user_engagement as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    {{ db.join }} stg_events as e on s.user_id = e.user_id and s.activity_day = e.event_day
    where {{ words.is_active('e', 's.activity_day', 'u') }}
    group by s.user_id, s.activity_day
)

select g.user_id, g.activity_day, c.events as events_counted, g.events as events_staged
from staged as g
left join int_user_engagement as c on g.activity_day = c.activity_day and g.user_id = c.user_id
where c.events is null or c.events <> g.events
