"""Airflow on one machine, as the commands `run`, `erase` and `up` start it. No task and no DAG imports this package."""
