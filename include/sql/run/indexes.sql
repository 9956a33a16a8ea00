{#- The indexes that a table's description names, and one on the grain if the key is another. -#}
{% for index in t.indexes %}
{{ db.create_index(t.name, index) }}
{% endfor %}
{% if t.key != t.grain %}
{{ db.create_index(t.name, t.grain, is_unique=true) }}
{% endif %}
