-- The campaigns with the most people, for the form: of all sources or of one.
{# by_source: no | yes #}
{% set people = definitions.funnel.steps[0].people %}
select utm_campaign as name
from fct_acquisition_funnel_by_channel
{% if by_source %}
where utm_source = :source
{% endif %}
group by utm_campaign
order by sum({{ people }}) desc, utm_campaign asc
limit 200
