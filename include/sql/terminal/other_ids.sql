-- How many ids the people of a cohort have beside those that they are counted by.
select count(distinct i.id) as ids
from int_funnel_steps as p
inner join int_identities as i on p.user_id = i.person_id
where p.cohort_month = :first_date
