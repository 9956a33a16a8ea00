"""The growth page: the marts as charts and lists inside Airflow's UI.

A request passes through filters, queries (include/sql/page), figures and a template. No task imports this package.
"""
