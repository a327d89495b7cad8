# `make` alone lists the targets. Every target makes the environment it needs.
#
# Variables: PYTHON (python3), VENV (.venv), PORT (5000), WORKERS (2, test processes), ARGS (further
# options of ladder, audit, reproduce), PARENT and KIND (of the report: a run id, else the latest).
# RULE of the audit (a name, or package.module:Rule). NOTEBOOKS (names; all of them).
# From the environment: CREDIT_DATA (data folder), MLFLOW_TRACKING_URI (tracking store),
# CREDIT_STATE (checkpoints of unfinished runs).

PYTHON  ?= python3
VENV    ?= .venv
PORT    ?= 5000
WORKERS ?= 2
PARENT  ?= latest
KIND    ?= ladder
NOTEBOOKS ?= $(basename $(notdir $(wildcard notebooks/*.ipynb)))

BIN     := $(VENV)/bin
PY      := $(BIN)/python
STAMP   := $(VENV)/.installed
STORE    = $(or $(MLFLOW_TRACKING_URI),sqlite:///$(CURDIR)/mlflow.db)
PYTEST   = $(PY) -m pytest -n $(WORKERS)

export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup ladder ladder-full reproduce reproduction audit test test-slow check lint audit-deps constraints lowest ui notebooks notebooks-shipped import report figures screenshots docs bench clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
		awk -F'|' '{ printf "%-22s%s\n", $$1, $$2 }'

setup: $(STAMP) ## Make .venv and install the project with its tools (again when pyproject.toml changes)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "credit needs Python 3.11 or newer, and '$(PYTHON)' is not:" \
		"pass one, as in make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv "$(VENV)"
	"$(PY)" -m pip install --quiet --editable '.[dev]'
	@touch "$@"

ladder: setup ## Depth-utility ladder, quick preset: table, figure and verdicts within minutes
	"$(PY)" -m entrypoints.ladder --preset quick $(ARGS)

ladder-full: setup ## Depth-utility ladder as published: 100 epochs, 3 seeds
	"$(PY)" -m entrypoints.ladder --preset published

reproduce: setup ## The published programme, days on 2 cores: ARGS="--dry_run true" shows runs and hours
	"$(PY)" -m entrypoints.reproduce $(ARGS)

reproduction: setup ## Write docs/reproduction.md again, from results/
	"$(PY)" -m entrypoints.reproduce --document docs/reproduction.md

audit: setup ## The whole protocol on one rule, quick preset: make audit RULE=my_rule:MyRule
	"$(PY)" -m entrypoints.audit --preset quick $(if $(RULE),--rule $(RULE)) $(ARGS)

test: setup ## Run the quick tests
	$(PYTEST)

test-slow: setup ## Run the slow tests
	$(PYTEST) -m slow

lint: setup ## Style, format and types
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m pyright --pythonpath "$(PY)"

audit-deps: setup ## Look for known vulnerabilities in what is installed, where PyPI can be asked
	"$(PY)" .ci/audit_deps.py

constraints: setup ## Write constraints.txt: the installed versions of what the core needs
	"$(PY)" .ci/constraints.py > constraints.txt

lowest: ## Write build/lowest.txt: the lowest version that each requirement of the core allows
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/uv pip compile --quiet --upgrade --python build/uv/bin/python --no-annotate \
		--resolution lowest-direct --output-file build/lowest.txt pyproject.toml

check: lint test audit-deps ## All that a change must pass: lint, the quick tests, dependencies

ui: setup ## Show the tracking store in the browser: prints the link and serves it
	"$(PY)" -m credit ui --port $(PORT)

notebooks: setup ## Execute copies of the notebooks, in build/notebooks, on the tracking store
	mkdir -p build/notebooks && cp $(NOTEBOOKS:%=notebooks/%.ipynb) build/notebooks
	MLFLOW_TRACKING_URI='$(STORE)' PATH="$(CURDIR)/$(BIN):$$PATH" \
		"$(PY)" -m jupyter execute --inplace $(NOTEBOOKS:%=build/notebooks/%.ipynb)

notebooks-shipped: setup ## Execute the notebooks themselves again, on the runs of results/ alone
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	export MLFLOW_TRACKING_URI="sqlite:///$$folder/mlflow.db" PATH="$(CURDIR)/$(BIN):$$PATH" && \
	"$(PY)" -m entrypoints.import_results && \
	"$(PY)" -m jupyter execute --inplace $(NOTEBOOKS:%=notebooks/%.ipynb)

import: setup ## Load the runs of results/ into the tracking store
	"$(PY)" -m entrypoints.import_results

report: setup ## Rebuild table, figure, verdicts and HTML report: PARENT=run id, or the latest of KIND
	"$(PY)" -m entrypoints.report --parent "$(PARENT)" --kind "$(KIND)"

figures: setup ## Draw every figure of docs/ again, from results/
	"$(PY)" -m benchmarks.figures

screenshots: setup ## Take the pictures of the MLflow UI in docs/ui again; needs a Chromium
	"$(PY)" -m pip install --quiet --editable '.[screenshots]'
	"$(PY)" -m benchmarks.screenshots

docs: setup ## Build the documentation site into site/; open site/index.html
	"$(PY)" -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 "$(PY)" -m mkdocs build --strict

bench: setup ## Speed, growth, memory, tracking and reading: one table, under 15 minutes
	"$(PY)" -m benchmarks --folder bench

clean: ## Remove caches and build leftovers; results, tracking store, data and .venv stay
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +
