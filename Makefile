# make run      everything set up, the DAG run once, a page on the terminal    DAY= FROM= TO= SOURCE= DATA= WAREHOUSE= SCALE= REBUILD=1
# make up       Airflow with its UI, the DAG scheduled daily                   PORT=
# make preview  what files would become, shown on a sample; writes nothing     SOURCE= DATA=
# make compare  your dashboard's numbers beside these, and where to look next  KNOWN=known.csv WITHIN=5 WAREHOUSE=
# make verify   what people read, compared with a rebuild from the raw rows    WAREHOUSE=
# make move     the history of a warehouse into an empty one of another engine   INTO= WAREHOUSE=
# make erase    people are forgotten, in every table                           USER= BY= WHY= WAREHOUSE=
# make secrets  .env for docker compose: a team's secrets, made up             docs/team.md
# make test, make lint, make prove N=5000 (random roads), make bench (what a day costs), make constraints,
# make screenshots (of the growth page, into docs/screenshots)

PYTHON ?= python3
BIN := .venv/bin
GROWTH := PYTHONPATH=plugins $(BIN)/python -m growth

export SAAS_GROWTH_SOURCE := $(or $(SOURCE),$(SAAS_GROWTH_SOURCE))
export SAAS_GROWTH_SOURCE_PATH := $(or $(DATA),$(SAAS_GROWTH_SOURCE_PATH))
export SAAS_GROWTH_SCALE := $(or $(SCALE),$(SAAS_GROWTH_SCALE))
export DAY := $(or $(TO),$(DAY))
export FROM REBUILD WAREHOUSE PORT KNOWN WITHIN INTO

.PHONY: run up preview verify compare move erase secrets test prove bench lint screenshots constraints

run: .venv/.runs
	@$(GROWTH) run

up: .venv/.runs
	@$(GROWTH) up

preview: .venv/.runs
	@$(GROWTH) preview

verify: .venv/.runs
	@$(GROWTH) verify

compare: .venv/.runs
	@$(GROWTH) compare

move: .venv/.runs
	@$(GROWTH) move

# USER also is the name of whoever is logged in: only one that is given here counts.
erase: export SAAS_GROWTH_ERASE_USERS := $(if $(filter command,$(firstword $(origin USER))),$(USER))
erase: export SAAS_GROWTH_ERASE_ASKED_BY := $(BY)
erase: export SAAS_GROWTH_ERASE_REASON := $(WHY)
erase: .venv/.runs
	@$(GROWTH) erase

# Nothing but Python: a machine that only has containers needs no virtual environment.
secrets:
	@PYTHONPATH=plugins $(PYTHON) -m growth secrets

# The deep tests, which `make test` leaves out; N says how many random worlds each engine walks through.
prove: .venv/.tests
	WORLDS=$(or $(N),300) $(BIN)/python -m pytest -m prove $(ARGS)

bench: .venv/.tests
	@PYTHONPATH=plugins:tests $(BIN)/python tests/bench.py

test: .venv/.tests
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	PYTHONPATH=plugins $(BIN)/python -m growth render .lint
	PYTHONPATH=plugins $(BIN)/python -m growth.ui.queries .lint
	$(BIN)/sqlfluff lint --disable-progress-bar .lint

screenshots: .venv/.tests
	PYTHONPATH=plugins:tests $(BIN)/python tests/screenshots.py

constraints:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate -q requirements-dev.txt -o constraints.txt
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate -q requirements.txt requirements-s3.txt \
		-o constraints-s3.txt

.venv/.runs: requirements.txt constraints.txt
	@echo "Installing Airflow into .venv (about a minute, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make run PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

.venv/.tests: .venv/.runs $(addprefix requirements-,dev.txt duckdb.txt postgres.txt stripe.txt team.txt)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@
