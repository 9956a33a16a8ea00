-- The users and new features of a day add up to those of the users who were active on it.
with days as (
    select activity_day from {{ words.scope('int_user_engagement_totals') }}
    union
    select activity_day from {{ words.changed('int_user_engagement') }}
),

counted as (
    -- One subquery for each day: there are few days, which the planner cannot know.
    select
        d.activity_day,
        (select count(*) from int_user_engagement as e where e.activity_day = d.activity_day) as users_counted,
        (select sum(t.users) from int_user_engagement_totals as t where t.activity_day = d.activity_day) as users,
        (
            select sum(e.new_features) from int_user_engagement as e where e.activity_day = d.activity_day
        ) as new_features_counted,
        (
            select sum(t.new_features) from int_user_engagement_totals as t where t.activity_day = d.activity_day
        ) as new_features
    from days as d
)

select activity_day, users_counted, users, new_features_counted, new_features
from counted
where users_counted <> coalesce(users, 0) or coalesce(new_features_counted, 0) <> coalesce(new_features, 0)
