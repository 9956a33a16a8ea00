# Airflow for docker-compose.yaml: the official image with the packages that are tested here.
#
# The slim image: the regular one contains a hundred providers in other versions than the pinned ones, and that mixture is
# not tested. Installing packages at each start (_PIP_ADDITIONAL_REQUIREMENTS) is for experiments only.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.11
FROM ${AIRFLOW_IMAGE}

COPY requirements.txt requirements-duckdb.txt requirements-postgres.txt requirements-stripe.txt requirements-team.txt \
    constraints.txt /tmp/requirements/
RUN cd /tmp/requirements && pip install --no-cache-dir -c constraints.txt \
    -r requirements.txt -r requirements-duckdb.txt -r requirements-stripe.txt -r requirements-team.txt

# Volumes mounted here take over the owner and the mode of these folders; in this image group 0 lets any user write.
RUN mkdir -m 770 /opt/airflow/login /opt/airflow/stripe_api
