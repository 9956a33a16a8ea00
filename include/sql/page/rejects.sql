-- Rejected rows by table and reason: of all batches, or of the batches of a period.
{# in_period: no | yes #}
select
    table_name,
    reject_reason,
    count(*) as rows_rejected,
    min(batch_date) as first_date,
    max(batch_date) as last_date,
    min(source_file || ' row ' || source_row) as first_row
from rejects
{% if in_period %}
where batch_date between :first_date and :last_date
{% endif %}
group by table_name, reject_reason
order by count(*) desc, table_name asc, reject_reason asc
