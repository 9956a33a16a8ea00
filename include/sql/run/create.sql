{#- Creates the tables, views and indexes of a warehouse that are missing. -#}
{% set text, int, real = 'text', 'integer', 'real' %}
-- Raw data, as it arrived.
{% for t in raw %}
{{ db.create_large_table(t.name, t.types, t.key) }}
{{ db.create_raw_index(t.name, raw_tables[t.name][0]) }}
{{ db.describe(t) }}
{% endfor %}
{{ db.create_table('raw_batches', {'batch_date': text, 'table_name': text, 'source_name': text, 'rows_landed': int},
    ['batch_date', 'table_name']) }}
{{ db.create_table('unmapped_events', {'batch_date': text, 'source_file': text, 'event_name': text, 'rows_seen': int},
    ['batch_date', 'source_file', 'event_name']) }}

-- Records of runs, which people may query.
{{ db.create_table('run_state', {'"only"': int,
    'as_of_date': text, 'as_of_day': int, 'as_of_month': text,
    'published_date': text, 'published_day': int, 'published_month': text, 'published_run_id': text,
    'prepared_fingerprint': text, 'revision': int}, ['"only"']) }}
{% call db.insert_new('run_state', ['"only"', 'revision']) %}values (1, 0){% endcall +%}
{{ db.create_table('run_steps', {'dag_id': text, 'run_id': text, 'task_id': text,
    'rows_removed': int, 'rows_written': int, 'sql_seconds': real}, ['dag_id', 'run_id', 'task_id']) }}
{{ db.create_table('check_results', {'dag_id': text, 'run_id': text, 'check_name': text,
    'severity': text, 'rows_found': int}, ['dag_id', 'run_id', 'check_name']) }}
{{ db.create_log('restatements', {'table_name': text, 'row_key': text, 'column_name': text, 'old_value': real,
    'new_value': real, 'cause': text, 'as_of_date': text, 'dag_id': text, 'run_id': text}) }}
{{ db.create_index('restatements', ['row_key']) }}
{{ db.create_table('calendar_months', {'month': text, 'month_number': int, 'first_day': int, 'last_day': int},
    ['month']) }}

-- Computed tables.
{% for t in tables %}
{{ db.create_large_table(t.name, t.types, t.key) }}
{% include 'run/indexes.sql' +%}
{{ db.describe(t) }}
{% endfor %}
{% include 'run/batch_accounting.sql' +%}

-- Work tables of runs.
{{ db.enter_work_schema() }}
{{ db.create_table('work_lease', {'"only"': int, 'dag_id': text, 'run_id': text, 'held_by': text}, ['"only"']) }}
-- For each table: its last and published fingerprints, why all of it must be computed, and the revision it was built from.
{{ db.create_table('work_table_state', {'table_name': text, 'fingerprint': text, 'published_fingerprint': text,
    'whole_because': text, 'built_revision': int}, ['table_name']) }}
-- Hashes of the ids of erased people: rows with these ids are not landed again.
{{ db.create_table('work_erased', {'kind': text, 'digest': text}, ['kind', 'digest']) }}
{{ db.create_table('work_scope_batches', {'batch_date': text}, ['batch_date']) }}
{{ db.create_work_table('work_replaced_users', {'user_id': text}, ['user_id']) }}
{{ db.create_work_table('work_replaced_subscriptions', {'subscription_id': text}, ['subscription_id']) }}
{% for t in tables %}
{{ db.create_work_table('work_scope__' ~ t.name, t.types_of(t.partition), t.partition) }}
{% if t.changes %}
{{ db.create_work_table('work_changed__' ~ t.name, t.types_of(t.changes), t.changes) }}
{% endif %}
{% if t.layer == 'marts' %}
{{ db.create_work_table('work_building__' ~ t.name, t.types, t.key) }}
{% endif %}
{% endfor %}
{{ db.leave_work_schema() }}
