-- The number of additional ids of the people of a cohort.
select count(distinct i.id) as ids
from int_funnel_steps as p
inner join int_identities as i on p.user_id = i.person_id
where p.cohort_month = :first_date
