-- The users of a day are those who were active on it, and so are their new features.
with days as (
    select activity_day from {{ words.scope('int_user_engagement_totals') }}
    union
    select activity_day from {{ words.changed('int_user_engagement') }}
),

totals as (
    select d.activity_day, sum(t.users) as users, sum(t.new_features) as new_features
    from days as d
    {{ db.join }} int_user_engagement_totals as t on d.activity_day = t.activity_day
    group by d.activity_day
),

counted as (
    select d.activity_day, count(*) as users, sum(e.new_features) as new_features
    from days as d
    {{ db.join }} int_user_engagement as e on d.activity_day = e.activity_day
    group by d.activity_day
)

select d.activity_day, c.users as users_counted, t.users, c.new_features as new_features_counted, t.new_features
from days as d
left join counted as c on d.activity_day = c.activity_day
left join totals as t on d.activity_day = t.activity_day
where coalesce(c.users, 0) <> coalesce(t.users, 0) or coalesce(c.new_features, 0) <> coalesce(t.new_features, 0)
