# `make demo` and `make test` work in a fresh clone: python3 (3.11 to 3.13), make and git suffice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
EXAMPLE := uadbids/data/example
# Two files at a time, one thread each; conftest.py puts those that take longest first.
TESTS := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
SHELL_SCRIPTS := containers/check containers/install containers/array.sbatch containers/lock/make \
  $(addprefix containers/machine/,docker apptainer slurm)

# Steps run side by side, hence one thread in each.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test fast robustness check site containers figures format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.dev ## a virtual environment in .venv, with everything for development

demo: $(VENV)/.run ## detect anomalies in the packaged example scan
	$(BIN)/uadbids $(EXAMPLE) demo/out participant --work-dir demo/work
	@for page in demo/out/sub-*.html; do test -s "$$page" && echo "Report: $(CURDIR)/$$page"; done

test: check ## what CI runs: all checks and all tests, the slow ones included
	$(TESTS) -m "not robustness" --durations=25

fast: install ## the quick tests
	$(TESTS) -m "not slow and not robustness"

robustness: install ## hostile inputs, faults, 50 kills, a load, fuzzing: half an hour; writes the docs' table
	$(TESTS) tests/robustness
	@# Side by side, since each examines one scan at a time.
	PYTHONPATH=tests $(BIN)/python -m robustness.load robustness/load --scans 300 --every 10 & \
	  PYTHONPATH=tests $(BIN)/python -m robustness.kills robustness/kills --kills 50; \
	  kills=$$?; wait $$! && exit $$kills
	@if $(BIN)/python -c 'import atheris' 2> /dev/null; then for target in header bundle; do \
	  PYTHONPATH=tests $(BIN)/python -m robustness.fuzz $$target robustness/fuzz-$$target --seconds 60 || exit 1; \
	  done; else echo "no fuzzing: atheris is not installed ($(BIN)/pip install -e '.[fuzz]')"; fi
	PYTHONPATH=tests $(BIN)/python -m robustness.table

check: install ## lint, format, layers of the architecture, types, images, workflows, the site
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/actionlint -shellcheck=$(BIN)/shellcheck
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

site: install ## the documentation as a site, in build/site; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

containers: $(VENV)/.run ## build the images and run them and a cluster as users do (Debian, root)
	PYTHON=$(BIN)/python containers/check

figures: $(VENV)/.run ## draw the pictures of the docs from their text (graphviz) and the packaged scan
	dot -Tsvg docs/figures/dataflow.dot -o docs/figures/dataflow.svg
	$(BIN)/python docs/examples/one_scan.py build/tutorial
	cp build/tutorial/detection.svg docs/figures/tutorial.svg

format: install ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what make made
	rm -rf $(VENV) demo robustness build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing the tools for development"
	$(PIP) -e '.[dev,hd-bet]'
	@touch $@

$(VENV)/.run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "uadbids needs Python 3.11, 3.12 or 3.13, and this is $$($(PYTHON) --version 2>&1):" \
	    "name another by 'make ... PYTHON=python3.12'" >&2; exit 1; }
	@echo "Installing uadbids into $(VENV) (some minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@
