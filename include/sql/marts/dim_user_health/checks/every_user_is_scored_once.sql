-- The table has as many rows as staging has users, and every user in scope has a row.
select null as user_id, scored.users as users_scored, staged.users as users_staged
from (
    -- Rows out of scope are counted as all rows minus those in scope: looking each one up would cost more.
    select sum(users) as users
    from (
        select count(*) as users from work_building__dim_user_health
        union all
        select n.users
        from work_table_state as w
        cross join (select count(*) as users from dim_user_health) as n
        where w.table_name = 'dim_user_health' and w.whole_because is null
        union all
        select -count(*)
        from work_table_state as w
        cross join work_scope__dim_user_health as s
        inner join dim_user_health as h on s.user_id = h.user_id
        where w.table_name = 'dim_user_health' and w.whole_because is null
    ) as parts
) as scored
cross join (select count(*) as users from stg_users) as staged
where scored.users <> staged.users
union all
select s.user_id, 0, 1
from work_scope__dim_user_health as s
left join work_building__dim_user_health as h on s.user_id = h.user_id
inner join stg_users as u on s.user_id = u.user_id
where h.user_id is null
