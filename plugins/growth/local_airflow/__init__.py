"""The Airflow of one machine, as `make run` and `make up` start it. No task imports this package."""
