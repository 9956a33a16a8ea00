"""The growth page: the marts as pictures inside Airflow's UI.

One way through: request -> filters -> SQL (include/sql/page) -> figures -> template. Nothing here is imported by a task.
"""
