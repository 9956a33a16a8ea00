"""The growth page: the marts as pictures inside Airflow's UI.

One way through: request -> filters -> SQL (include/sql/page) -> figures -> template. No task imports it.
"""
