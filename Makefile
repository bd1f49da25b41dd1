.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
OUT ?= out/samples
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# The machine's own cores; two are enough for a check in under twelve minutes.
JOBS ?= $(shell nproc)

help: ## Say what each target does
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: .venv/run ## Set up .venv to run Seawall

review: .venv/run ## Review the sample contracts, and write a report
	@code=0; $(BIN)/seawall-contracts review examples/contracts --out $(OUT) || code=$$?; \
	[ $$code = 0 ] && echo "Open $(OUT)/report.html in a browser."; exit $$code

test: .venv/dev ## Run all tests
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -q

check: lock-check lint test docs-check chaos ## Everything that a change must pass

lint: .venv/dev ## Format check, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

fix: .venv/dev ## Format, and mend what can be mended by a machine
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs-check: .venv/dev ## Run every Python block of the documentation
	$(BIN)/pytest -q scripts/check_docs.py

chaos: .venv/dev ## Kill a review, break models and stores, and see that all holds (short form)
	$(BIN)/python -m chaos.driver --contracts 60 --kills 3
	$(BIN)/python -m chaos.resilience
	$(BIN)/python -m chaos.soak --seconds 15

lock: .venv/dev ## Work out the locked dependencies anew
	scripts/lock requirements

lock-check: .venv/dev ## See that the locks are what pyproject.toml asks for
	@scripts/lock .venv/locks && diff -r requirements .venv/locks && echo "locks agree with pyproject.toml"

train: .venv/dev ## Rebuild the local reviewer's weights from ../shared/data
	$(PIP) --require-hashes -r requirements/train.txt
	$(BIN)/python -m training

.venv/run: requirements/run.txt
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing Seawall into .venv …"
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src && touch $@

.venv/dev: .venv/run requirements/dev.txt
	@$(PIP) --require-hashes -r requirements/dev.txt && touch $@

.PHONY: help setup review test check lint fix docs-check chaos lock lock-check train
