# Everything runs in $(VENV), which is made on first use and mended when pyproject.toml changes.
# PYTHON=... chooses the interpreter, ARGS=... passes options on:  make up ARGS="--port 9000"

SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := domain commands projections read_api streams infra mission_control
# Tests mostly wait: for commits, for processes that start.
JOBS ?= 3
UV := 0.13.9
# Else each process compiles all modules anew, which takes longer than to start it: the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE
CHECKED := $(PACKAGES) tests $(wildcard benchmarks) hatch_build.py web_build.py

.PHONY: help up servers test test-all coverage test-servers test-long secrets screenshots bench bench-web check check-python check-web format clean
.DELETE_ON_ERROR:

help:
	@echo 'make up         install and start the whole system with a demo in it (ARGS="--port 9000")'
	@echo 'make servers    bring the servers that tests run on: Kafka, Elasticsearch, InfluxDB, Redis'
	@echo 'make test       the tests that need none of these servers'
	@echo 'make test-all   those that do too: all but the long ones'
	@echo 'make coverage   the same, and which branches they run'
	@echo 'make test-servers  those alone that need these servers'
	@echo 'make test-long  the long repetitions'
	@echo 'make secrets    write .env and a certificate for docker-compose.yml (ORIGIN=... EMAIL=...)'
	@echo 'make screenshots  render the pages of the dashboard into docs/screenshots'
	@echo 'make bench      the benchmarks, each beside its peer'
	@echo 'make bench-web  the dashboard in a browser: Lighthouse, events, dragging, scrubbing (ARGS=--quick)'
	@echo 'make check      format, lint, types and import rules'
	@echo 'make format     format the code'
	@echo 'make clean      remove $(VENV)'

up: $(VENV)/.installed
	@exec $(BIN)/mission-control up --demo $(ARGS)

servers: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.servers $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -rs -m "not long and not servers" -n $(JOBS) $(ARGS)

test-all: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -rs -m "not long" -n $(JOBS) $(ARGS)

# Counting the lines that run makes them slower: by itself, for whoever looks for what is not tested.
coverage:
	@$(MAKE) test-all ARGS="--cov --cov-report=term $(ARGS)"

test-servers: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -rs -m "servers and not long" $(ARGS)

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m long --timeout=3600 $(ARGS)

secrets:
	@deploy/make-secrets.sh '$(ORIGIN)' '$(EMAIL)'

screenshots: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.web.screenshots $(ARGS)

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

bench-web: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.web $(ARGS)

check: check-python check-web

check-python: $(VENV)/.installed-dev
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

check-web: $(VENV)/.installed-dev
	$(BIN)/python web_build.py check

format: $(VENV)/.installed-dev
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

clean:
	rm -rf $(VENV)

# What the dashboard is built of: the install builds it.
WEB := hatch_build.py web_build.py $(shell find web -name node_modules -prune -o -type f -print)

$(VENV)/.installed: pyproject.toml $(WEB)
	@$(call install,.)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(WEB)
	@$(call install,.[dev])
	@touch $@ $(VENV)/.installed

# A name on the PATH may be a shim that runs nothing, so each candidate is asked to do something.
find_python = python=; \
	for candidate in $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3 python); do \
	  if "$$candidate" -c 'import ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	      >/dev/null 2>&1; then python="$$candidate"; break; fi; \
	done

# uv where it is installed and works; else venv and pip, which brings uv: it takes seconds for what takes pip a
# minute. It does not know an index that pip was told of, so there, and where it fails, pip does all.
# Debian without python3-venv has no ensurepip: the system's pip puts a pip into the bare environment.
install = set -e; \
	if command -v uv >/dev/null 2>&1 \
	    && uv venv --quiet --allow-existing --python '$(or $(PYTHON),>=3.11)' $(VENV) \
	    && uv pip install --quiet --python $(BIN)/python --editable '$(1)'; then exit 0; fi; \
	$(find_python); \
	if [ -z "$$python" ]; then \
	  echo 'mission-control: needs Python 3.11 or newer; none was found (PYTHON=... names one)' >&2; \
	  exit 2; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  rm -rf $(VENV); \
	  "$$python" -m venv $(VENV) >/dev/null 2>&1 || { \
	    rm -rf $(VENV); \
	    "$$python" -m venv --without-pip $(VENV) \
	      && "$$python" -m pip --python $(BIN)/python install --quiet pip; \
	  } || { \
	    rm -rf $(VENV); \
	    echo 'mission-control: cannot make a virtual environment: install python3-venv or pip' >&2; \
	    exit 2; \
	  }; \
	fi; \
	echo 'installing $(1)'; \
	pip='$(BIN)/python -m pip --disable-pip-version-check'; \
	if ! $$pip config list | grep -q index && $$pip install --quiet uv==$(UV) \
	    && $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --editable '$(1)' 2>/dev/null; \
	then exit 0; fi; \
	$$pip install --quiet --editable '$(1)'
