{#- The indexes of a table, as its description names them; where its key is not its grain, the grain is one, too. -#}
{% for index in t.indexes %}
{{ db.create_index(t.name, index) }}
{% endfor %}
{% if t.key != t.grain %}
{{ db.create_index(t.name, t.grain, is_unique=true) }}
{% endif %}
