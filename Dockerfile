# Airflow for docker-compose.yaml: the official image with the packages that are tested here.
#
# The slim one: the regular image brings a hundred providers in versions of its own, and where these and the pinned ones
# disagree nobody has tried the mixture. Installing at each start (_PIP_ADDITIONAL_REQUIREMENTS) is for trying things out.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.11
FROM ${AIRFLOW_IMAGE}

COPY requirements.txt requirements-duckdb.txt requirements-postgres.txt requirements-stripe.txt requirements-team.txt \
    constraints.txt /tmp/requirements/
RUN cd /tmp/requirements && pip install --no-cache-dir -c constraints.txt \
    -r requirements.txt -r requirements-duckdb.txt -r requirements-stripe.txt -r requirements-team.txt

# Volumes that are mounted here take over the owner and the mode; group 0 is the image's way to let any user write.
RUN mkdir -m 770 /opt/airflow/login /opt/airflow/stripe_api
