-- People at each step by cohort month: everybody, or those of a source or campaign.
{% set people = definitions.funnel.steps | map(attribute='people') | list %}
select
    cohort_month,
    {% for step in people %}
    sum({{ step }}) as {{ step }},
    {% endfor %}
    min(is_mature) as is_mature,
    max(matures_on) as matures_on
from {{ 'fct_acquisition_funnel_by_channel' if by_source or by_campaign else 'fct_acquisition_funnel' }}
where cohort_month between :since and :until
    {% if by_source %}
    and utm_source = :source
    {% endif %}
    {% if by_campaign %}
    and utm_campaign = :campaign
    {% endif %}
group by cohort_month
order by cohort_month
