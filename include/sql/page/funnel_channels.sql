-- People at each step by source, or by campaign of one source; immature cohorts are counted separately.
{# by_source, by_campaign: no | yes #}
{% set people = definitions.funnel.steps | map(attribute='people') | list %}
{% set channel = 'utm_campaign' if by_source else 'utm_source' %}
select
    {{ channel }} as channel,
    is_mature,
    {% for step in people %}
    sum({{ step }}) as {{ step }}{{ ',' if not loop.last }}
    {% endfor %}
from fct_acquisition_funnel_by_channel
where cohort_month between :since and :until
    {% if by_source %}
    and utm_source = :source
    {% endif %}
    {% if by_campaign %}
    and utm_campaign = :campaign
    {% endif %}
group by {{ channel }}, is_mature
order by sum({{ people[0] }}) desc, {{ channel }} asc
