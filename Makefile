# Chores, each one command. Everything is installed into .venv, by what needs it.

PYTHON ?= python3
RUN := .venv/bin/python
SERVING := .venv/installed-serving
DEVELOPING := .venv/installed-developing
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help serve tests lint bench deploy storage-report redeliver docs version clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

serve: $(SERVING) ## serve http://127.0.0.1:8888/v1/ (PORT=...; EPHEMERAL=1 keeps nothing)
	@exec $(RUN) -m infra.serve

tests: $(DEVELOPING) ## run all tests, with their coverage (ARGS="-k name")
	$(RUN) -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

lint: $(DEVELOPING) ## check format, style, types and imports
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy
	.venv/bin/lint-imports

bench: $(DEVELOPING) ## measure round trips, CPU time and cold start
	$(RUN) -m bench

deploy: $(SERVING) ## deploy tables and queues, then the functions, of a stage (STAGE=prod)
	@exec $(RUN) -m infra.deploy "$(STAGE)"

storage-report: $(SERVING) ## tell what is left of deleted objects (STAGE=prod; REPAIR=1 purges it)
	@STAGE="$(STAGE)" REPAIR="$(REPAIR)" exec $(RUN) -m infra.storage_report

redeliver: $(SERVING) ## send dead letters again (STAGE=prod; LISTENER=name; SHOW=1 only tells)
	@LISTENER="$(LISTENER)" SHOW="$(SHOW)" exec $(RUN) -m infra.redeliver "$(STAGE)"

docs: $(SERVING) ## write docs/settings.md anew from the declarations
	$(RUN) -m infra.settings_page

version: ## print name, version and commit as JSON
	@$(PYTHON) -m infra.version

clean: ## remove .venv and caches (DATA=remove removes the local server's data as well)
	rm -rf .venv .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
ifeq ($(DATA),remove)
	rm -rf .local
endif

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	@touch $@

$(SERVING): .venv/made requirements.txt infra/requirements.txt
	$(PIP) -r requirements.txt -r infra/requirements.txt
	@touch $@

$(DEVELOPING): $(SERVING) requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@
