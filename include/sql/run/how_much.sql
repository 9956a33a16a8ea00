{#- A script of whole tables and one of what is in scope do not stand in for each other. -#}
select 'What this run computes has been settled anew, all of it or what is in scope: try this task again.' as refusal
from run_state
where everything <> {{ 1 if whole else 0 }};
