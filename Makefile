# Two commands matter: `make demo` and `make test`. Both make their own environment in .venv the first time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?= demo-output
DEMO_PARTICLES ?= 2000
DEMO_MINUTES ?= 4
PYTEST_ARGS ?=

# TensorFlow and Scipion install together on Python 3.10, 3.11 and 3.12; 3.11 was tried most. PYTHON=... overrides.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.10 python3 python)
FIND_PYTHON = for p in $(CANDIDATES); do "$$p" -c '$(SUPPORTED)' >/dev/null 2>&1 && { command -v "$$p"; exit 0; }; done; exit 1

# Some Scipion dependencies pin old NumPy and SciPy releases: take their wheels, never try to compile them.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --prefer-binary \
	--only-binary=numpy,scipy,scikit-image,scikit-learn,numba,llvmlite,tensorflow,h5py,astra-toolbox,gemmi,finufft,healpy,astropy

.PHONY: help demo test lint format docs install clean distclean

help:  ## show this help
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

demo: $(VENV)/installed  ## the whole main job on a made-up molecule, as a Scipion project
	$(BIN)/python -m cryoposes_plugin.main_job --map phantom --number $(DEMO_PARTICLES) --junk-fraction 0.2 --snr 0.4 \
		--minutes $(DEMO_MINUTES) --project demo --folder $(DEMO_DIR) --replace

test: $(VENV)/installed-test lint  ## lint, type check and all tests
	$(BIN)/python -m pytest --numprocesses 2 $(PYTEST_ARGS)

lint: $(VENV)/installed-test  ## ruff and mypy only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-test  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/installed-docs  ## the documentation as a web site in build/docs; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs build/docs
	@echo "Open build/docs/index.html"

install: $(VENV)/installed  ## make the environment and install the plugin into it

$(VENV)/created:
	@python="$$($(FIND_PYTHON))" || { \
		echo "No Python 3.10, 3.11 or 3.12 with venv was found among: $(CANDIDATES); install one (Debian: apt-get install python3-venv) or run make PYTHON=/path/to/python3.11." >&2; exit 1; }; \
	echo "Making $(VENV) with $$python"; \
	"$$python" -m venv --clear $(VENV)
	@touch $@

# Two steps: first what Scipion pins, so that pip need not search; then the plugin itself.
$(VENV)/installed: $(VENV)/created setup.py pyproject.toml
	@echo "Installing (the first time some minutes; TensorFlow is large)"
	$(PIP_INSTALL) 'scipion-em>=3.11,<4' scipion-app
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP_INSTALL) 'scipion-em>=3.11,<4' --editable '.[test,plugins]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP_INSTALL) 'scipion-em>=3.11,<4' --editable '.[docs]'
	@touch $@

clean:  ## remove what builds and tests left
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## also remove the environment and the demo's output
	rm -rf $(VENV) $(DEMO_DIR)
