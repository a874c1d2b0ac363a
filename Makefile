# Chores, each one command. Everything is installed into .venv, by what needs it.

PYTHON ?= python3
RUN := .venv/bin/python
SERVING := .venv/installed-serving
DEVELOPING := .venv/installed-developing
BENCHING := .venv/installed-benching
CHECKING := .venv/checking
KINTO := .venv/kinto
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help serve serve-deployed tests lint bench load costs deploy diff rollback destroy stage package \
	backup restore import storage-report redeliver docs version clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

serve: $(SERVING) ## serve http://127.0.0.1:8888/v1/ (PORT=...; EPHEMERAL=1 keeps nothing)
	@exec $(RUN) -m infra.serve

serve-deployed: $(SERVING) ## serve the package, deployed to an emulator (PORT=...; keeps nothing)
	@exec $(RUN) -m infra.serve_deployed .local/package

tests: $(BENCHING) ## run all tests, with their coverage (ARGS="-k name")
	$(RUN) -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

lint: $(BENCHING) $(CHECKING)/installed ## check format, style, types, imports and templates
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check
	$(RUN) -m mypy
	.venv/bin/lint-imports
	$(RUN) -m infra.packaging dev .local/linted
	.venv/bin/cfn-lint infra/data.yaml infra/operations.yaml .local/linted/sam.json
	$(CHECKING)/bin/checkov --config-file infra/checkov.yaml \
		-f infra/data.yaml -f infra/operations.yaml -f .local/linted/sam.json

bench: $(BENCHING) $(KINTO)/installed ## measure it all, beside Kinto, to docs/benchmarks.md
	$(RUN) -m bench

load: $(BENCHING) ## have users work in a stage (URL=https://.../v1 USERS=50 RATE=5 TIME=5m; HEADLESS=1)
	@URL="$(URL)" USERS="$(USERS)" RATE="$(RATE)" TIME="$(TIME)" DAYS="$(DAYS)" PAUSE="$(PAUSE)" \
		SHARED="$(SHARED)" HEADLESS="$(HEADLESS)" PORT="$(PORT)" exec $(RUN) -m bench.load

costs: $(DEVELOPING) ## price each operation, to docs/costs.md
	$(RUN) -m bench.costs

deploy: $(SERVING) ## deploy a stage (STAGE=prod), or a step of it (STEP=functions)
	@exec $(RUN) -m infra.deploy "$(STAGE)" $(STEP)

diff: $(SERVING) ## tell what deploying would change (STAGE=prod)
	@exec $(RUN) -m infra.diff "$(STAGE)"

rollback: $(SERVING) ## go back to the release before (STAGE=prod; RELEASE=...; SHOW=1 lists them)
	@RELEASE="$(RELEASE)" SHOW="$(SHOW)" exec $(RUN) -m infra.rollback "$(STAGE)"

destroy: $(SERVING) ## remove functions, API and alarms (STAGE=prod; DATA=remove: the data, too)
	@DATA="$(DATA)" exec $(RUN) -m infra.destroy "$(STAGE)"

stage: $(SERVING) ## configure a new stage like another (STAGE=staging2 LIKE=prod)
	@LIKE="$(LIKE)" exec $(RUN) -m infra.new_stage "$(STAGE)"

package: $(SERVING) ## package a stage for a pipeline (STAGE=prod OUT=folder; FORMAT=terraform)
	@FORMAT="$(FORMAT)" exec $(RUN) -m infra.packaging "$(STAGE)" "$(OUT)"

storage-report: $(SERVING) ## tell what is left of deleted objects (STAGE=prod; REPAIR=1 purges it)
	@STAGE="$(STAGE)" REPAIR="$(REPAIR)" exec $(RUN) -m infra.storage_report

backup: $(SERVING) ## keep a backup of the objects of a stage, and print its ARN (STAGE=prod)
	@exec $(RUN) -m infra.backup "$(STAGE)"

restore: $(SERVING) ## restore a stage (STAGE=prod2 FROM=prod TIME=2026-05-01T03:00:00Z; or BACKUP=arn)
	@FROM="$(FROM)" TIME="$(TIME)" BACKUP="$(BACKUP)" exec $(RUN) -m infra.restore "$(STAGE)"

redeliver: $(SERVING) ## send dead letters again (STAGE=prod; LISTENER=name; SHOW=1 only tells)
	@LISTENER="$(LISTENER)" SHOW="$(SHOW)" exec $(RUN) -m infra.redeliver "$(STAGE)"

import: $(SERVING) ## move data in from a Kinto (URL=https://.../v1 STAGE=prod; BUCKETS=a,b; QUICK=1; SHOW=1)
	@URL="$(URL)" BUCKETS="$(BUCKETS)" QUICK="$(QUICK)" SHOW="$(SHOW)" exec $(RUN) -m infra.import_kinto "$(STAGE)"

docs: $(SERVING) ## write docs/settings.md anew from the declarations
	$(RUN) -m infra.settings_page

version: ## print name, version and commit as JSON
	@$(PYTHON) -m infra.version

clean: ## remove .venv and caches (DATA=remove removes the local server's data as well)
	rm -rf .venv .chalice/deployments .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
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

# On its own, as it wants another boto3 than the emulator does.
$(CHECKING)/installed: .venv/made infra/requirements-checking.txt
	$(RUN) -m venv --clear $(CHECKING)
	$(CHECKING)/bin/pip install --quiet --disable-pip-version-check \
		-r infra/requirements-checking.txt
	@touch $@

$(DEVELOPING): $(SERVING) requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

$(BENCHING): $(DEVELOPING) bench/requirements.txt
	$(PIP) -r bench/requirements.txt
	@touch $@

# On its own: the server that ours is compared with.
$(KINTO)/installed: .venv/made bench/requirements-kinto.txt
	$(RUN) -m venv --clear $(KINTO)
	$(KINTO)/bin/pip install --quiet --disable-pip-version-check -r bench/requirements-kinto.txt
	@touch $@
