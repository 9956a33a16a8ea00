# Most targets run a command of the program; a variable behind them is an option of it: make run DAY=2026-10-31.
# `.venv/bin/python -m growth run --help`, with PYTHONPATH=plugins, explains each.
#
# make run      everything set up, the DAG run once, a page on the terminal    DAY= FROM= TO= SOURCE= DATA= WAREHOUSE= SCALE= REBUILD=1
# make up       Airflow with its UI, the DAG scheduled daily                   PORT= SOURCE= DATA= WAREHOUSE= SCALE=
# make preview  what a source would land, shown on a sample; writes nothing    SOURCE= DATA= SCALE=
# make compare  the numbers of your dashboard beside these                     KNOWN=known.csv WITHIN=5 WAREHOUSE= SOURCE=
# make verify   all tables, compared with a rebuild from the raw rows          WAREHOUSE= SOURCE=
# make move     the history of a warehouse, into an empty one of another engine   INTO= WAREHOUSE= SOURCE=
# make erase    people are erased from every table                             USER= BY= WHY= WAREHOUSE= SOURCE= DATA= SCALE=
# make docs     the pages that come from the tables' descriptions: docs/tables.md, docs/metrics.md
# make secrets  .env for docker compose: a team's secrets, made up             docs/team.md
# make test, make lint, make prove N=300 (the deep tests), make bench (what a day costs), make constraints,
# make screenshots (of the growth page, into docs/screenshots)

PYTHON ?= python3
BIN := .venv/bin
GROWTH := PYTHONPATH=plugins $(BIN)/python -m growth

# The program reads its options from the environment. $(value) keeps make from expanding a $ in what was typed.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

VARIABLES := DAY FROM TO REBUILD SOURCE DATA SCALE WAREHOUSE PORT KNOWN WITHIN INTO USER BY WHY \
	PYTHON ARGS N WORLDS ENGINES MONTHS EXPORT BENCH_FOLDER
UNKNOWN := $(filter-out $(VARIABLES) SAAS_GROWTH_% AIRFLOW%,$(GIVEN))
$(if $(UNKNOWN),$(error There is no variable $(firstword $(UNKNOWN)): the first lines of the Makefile list them))

.PHONY: run up preview verify compare move erase docs secrets test prove bench lint screenshots constraints

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

# In the environment USER is the name of the person who is logged in, so only one that is given here counts.
erase: export SAAS_GROWTH_ERASE_USER := $(if $(filter USER,$(GIVEN)),$(USER),$(value SAAS_GROWTH_ERASE_USER))
erase: .venv/.runs
	@$(GROWTH) erase

docs: .venv/.runs
	@$(GROWTH) docs

# A machine that only runs containers needs nothing but Python for this.
secrets:
	@PYTHONPATH=plugins $(PYTHON) -m growth.commands.team

# The deep tests, which `make test` leaves out; N says how many random worlds each engine walks through.
prove: .venv/.tests
	WORLDS=$(or $(N),300) $(BIN)/python -m pytest -m prove $(ARGS)

bench: .venv/.tests
	@PYTHONPATH=plugins:tests $(BIN)/python tests/bench.py

test: .venv/.tests
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.tests
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	rm -rf .lint
	PYTHONPATH=plugins $(BIN)/python -m growth render .lint
	for engine in sqlite duckdb postgres; do \
		$(BIN)/sqlfluff lint --disable-progress-bar --processes 2 --dialect $$engine .lint/$$engine || exit 1; \
	done

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
