# `make up` starts Tenet; `make test` passes every test. Everything else is said by `make help`.
#
# The environment lies in .venv and is made from the lock file: by uv where it is there, else by pip from the
# lock's export with its hashes. A stamp keeps the second call from doing anything.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

UV := $(shell uv --version >/dev/null 2>&1 && echo uv)

.DEFAULT_GOAL := help
.PHONY: help up compile test check test-changed test-long coverage bench bench-cluster bench-queues bench-placement cluster cluster-status cluster-stop \
  peers docs lock hooks audit clean

help: ## Says what each target does
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

up: $(VENV)/.bytecode ## Starts Tenet here, with its data in ./tenet-data (ARGS="--listen 127.0.0.1:9000")
	@$(BIN)/python -m tools.compile
	@exec $(BIN)/tenet up $(ARGS)

compile: $(VENV)/.bytecode ## Compiles the modules of the request path; up, test and bench do it too
	@exec $(BIN)/python -m tools.compile --required

test: $(VENV)/.development $(VENV)/.bytecode ## Passes every test: lint, types, architecture, documents, unit to end-to-end
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m tools.stages test $(ARGS)

check: $(VENV)/.development $(VENV)/.bytecode ## The quick part of the tests, with a part of their random examples
	@exec $(BIN)/python -m tools.stages check $(ARGS)

test-changed: $(VENV)/.development $(VENV)/.bytecode ## Passes the tests that a change can touch, by the import graph, without clusters (ARGS=main)
	@exec $(BIN)/python -m tools.changed_tests $(ARGS)

test-long: $(VENV)/.development $(VENV)/.bytecode ## Passes the full rounds and writes docs/results/test-long.md
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m tools.stages long $(ARGS)

coverage: $(VENV)/.development ## Runs the tests under coverage, started servers included, and reports
	@exec $(BIN)/python -m tools.stages coverage $(ARGS)

bench: $(VENV)/.development $(VENV)/.bytecode ## Measures Tenet with its peers beside it, in one run
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-cluster: $(VENV)/.development $(VENV)/.bytecode ## Measures Tenet over a real cluster with the raw driver beside it
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m benchmarks.cluster $(ARGS)

bench-queues: $(VENV)/.development $(VENV)/.bytecode ## Measures Tenet's queues with ElasticMQ and RabbitMQ beside them
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m benchmarks.queues $(ARGS)

bench-placement: $(VENV)/.development $(VENV)/.bytecode ## Measures placement with OpenStack's service beside it
	@$(BIN)/python -m tools.compile --required
	@exec $(BIN)/python -m benchmarks.placement $(ARGS)

cluster: $(VENV)/.development ## Starts three Apache Cassandra nodes on 127.0.0.1 to .3 (ARGS=--fresh for empty ones)
	@exec $(BIN)/python -m tools.cluster start $(ARGS)

cluster-status: $(VENV)/.development ## Says which of these nodes run, answer and see each other
	@exec $(BIN)/python -m tools.cluster status $(ARGS)

cluster-stop: $(VENV)/.development ## Stops these nodes; their data stays for the next start
	@exec $(BIN)/python -m tools.cluster stop $(ARGS)

peers: $(VENV)/.development ## Fetches what tests and benchmarks run beside Tenet; they do it by themselves too
	@exec $(BIN)/python -m tests.conformance.packages $(ARGS)

docs: $(VENV)/.development ## Writes the generated parts of the documents anew
	@exec $(BIN)/python -m tools.generated_docs

lock: $(VENV)/.development ## Locks the dependencies anew (needs uv) and exports them for pip
	uv lock
	uv export --quiet --frozen --no-dev --no-emit-project --format requirements-txt --no-header -o requirements.lock
	uv export --quiet --frozen --no-dev --group compile --no-emit-project --format requirements-txt --no-header \
	  -o requirements-compile.lock
	uv export --quiet --frozen --no-emit-project --format requirements-txt --no-header -o requirements-dev.lock

hooks: $(VENV)/.development ## Installs the git hooks, which run lint and format on what is committed
	@exec $(BIN)/prek install

audit: $(VENV)/.development ## Looks the locked dependencies up in the vulnerability database (needs the network)
	@exec $(BIN)/python -m tools.audit

clean: ## Removes what was built here, except the data
	rm -rf $(VENV) src/tenet/_compiled* build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .cache

# ---- the environment -------------------------------------------------------------------------------------------------

LOCKS := uv.lock pyproject.toml requirements-compile.lock

$(VENV)/.runtime: $(LOCKS)
ifeq ($(UV),uv)
	uv sync --quiet --frozen --no-dev --group compile --group programs --inexact --compile-bytecode
else
	$(PYTHON) tools/pip_environment.py $(VENV) requirements-compile.lock
endif
	@touch $@

$(VENV)/.development: $(LOCKS) requirements-dev.lock
ifeq ($(UV),uv)
	uv sync --quiet --frozen --compile-bytecode
else
	$(PYTHON) tools/pip_environment.py $(VENV) requirements-dev.lock
endif
	@touch $@ $(VENV)/.runtime

# Compiled ahead, no start has to do it: it takes three times as long as everything else that a start does, and where
# PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would do it again. pip compiles what it installs.
$(VENV)/.bytecode: $(VENV)/.runtime $(shell find src -name '*.py')
	@$(BIN)/python -m compileall -q src
	@touch $@
