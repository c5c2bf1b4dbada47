# Two commands for a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
VIDEOS ?=
BIN := $(VENV)/bin

.PHONY: demo test lint tests clean

demo: $(VENV)/prep.stamp
	$(BIN)/perfnet-prep models fetch
	$(BIN)/python -m pipelines.demo --videos "$(VIDEOS)" --output demo

test: $(VENV)/dev.stamp
	$(BIN)/perfnet-prep models fetch
	$(MAKE) lint
	$(MAKE) tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests:
	$(BIN)/pytest --cov --cov-report=
	$(BIN)/coverage report --skip-covered --fail-under=85
	$(BIN)/coverage report --skip-covered --include="schemas/*,flow/*,renderers/*" --fail-under=95

$(VENV)/prep.stamp: setup.py pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, got ' + sys.version.split()[0])"
	$(PYTHON) pipelines/system_libraries.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[prep]"
	touch $@

$(VENV)/dev.stamp: $(VENV)/prep.stamp
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo
