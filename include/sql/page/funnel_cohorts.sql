-- People at each step by cohort month: all people, or those of one source or campaign.
{# by_source, by_campaign: no | yes #}
{% set steps = definitions.funnel.steps %}
select
    cohort_month,
    {% for step in steps %}
    sum({{ step.people }}) as {{ step.people }},
    {% endfor %}
    {% for step in steps[1:] %}
    {% set before = steps[loop.index0] %}
    {{ db.ratio('sum(' ~ step.people ~ ')', 'sum(' ~ before.people ~ ')') }} as {{ before.noun }}_to_{{ step.noun }}_rate,
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
