-- Every active user has a user row, which may arrive late.
-- severity: warn
select e.user_id, min(e.event_date) as first_event_date, count(*) as events
from {{ words.in_scope('stg_events', 'e', ['event_id']) }}
left join stg_users as u on e.user_id = u.user_id
where e.is_meaningful = 1 and u.user_id is null
group by e.user_id
