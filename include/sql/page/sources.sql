-- The sources with the most people, for the form.
{% set people = definitions.funnel.steps[0].people %}
select utm_source as name
from fct_acquisition_funnel_by_channel
group by utm_source
order by sum({{ people }}) desc, utm_source asc
limit 200
