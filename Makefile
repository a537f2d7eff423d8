# One place for the daily commands. Works with uv where it is installed, and with venv and pip where not.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

.PHONY: up test test-long bench check format clean

up: $(VENV)/.installed
	@exec $(BIN)/mission-control up $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not long" $(ARGS)

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m long --timeout 3600 $(ARGS)

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (or set PYTHON=…)" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --python "$(PYTHON)" $(VENV); \
	else "$(PYTHON)" -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); \
		"$(PYTHON)" -m pip install --quiet --user virtualenv && "$(PYTHON)" -m virtualenv --quiet $(VENV); }; fi

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python -e .; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -e .; fi
	@touch $@

# `pip install --group` needs pip 25.1, which the environment gets for itself.
$(VENV)/.installed-dev: $(VENV)/.installed
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python --group dev; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1" \
		&& $(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev; fi
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
