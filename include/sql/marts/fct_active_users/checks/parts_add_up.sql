-- New, retained and resurrected users add up to the monthly users, and no shorter period has more users than a longer one.
select *
from work_building__fct_active_users
where new_users + retained_users + resurrected_users <> monthly_active_users
    or new_users < 0
    or retained_users < 0
    or resurrected_users < 0
    or dormant_users < 0
    or daily_active_users > weekly_active_users
    or weekly_active_users > monthly_active_users
    or stickiness not between 0 and 1
