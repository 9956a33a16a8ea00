-- The events of a user's active days are the meaningful ones in staging since their signup.
with counted as (
    select s.user_id, sum(e.events) as events
    from (select distinct user_id from scope__int_user_engagement) as s
    {{ db.join }} int_user_engagement as e on s.user_id = e.user_id
    group by s.user_id
),

staged as (
    select s.user_id, count(*) as events
    from (select distinct user_id from scope__int_user_engagement) as s
    {{ db.join }} stg_users as u on s.user_id = u.user_id
    {{ db.join }} stg_events as e on s.user_id = e.user_id
    where {{ words.is_active('e', 'e.event_day', 'u') }}
    group by s.user_id
)

select g.user_id, c.events as events_counted, g.events as events_staged
from staged as g
left join counted as c on g.user_id = c.user_id
where c.events is null or c.events <> g.events
