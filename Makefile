# Two commands on a fresh machine, with Python and pip only: make demo, make test.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@$(BIN)/python -m demo_app

# More options for pytest: make test ARGS="-k cohort"
test: $(VENV)/.installed
	@BIN=$(BIN) scripts/find-redis.sh
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
