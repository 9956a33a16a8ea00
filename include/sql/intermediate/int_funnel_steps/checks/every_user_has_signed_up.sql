-- Every user in staging has a signup in the funnel.
select u.user_id, u.signup_date
from {{ words.in_scope('stg_users', 'u', ['user_id'], of='int_funnel_steps') }}
left join int_funnel_steps as p on u.user_id = p.user_id
where p.signup_at is null and {{ 1 if definitions.funnel.every_user_signs_up else 0 }} = 1
