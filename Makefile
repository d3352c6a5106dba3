# make run         install into .venv and train a first model (a few minutes on two CPU cores)
# make test        install, lint, check types, run the quick tests: all known answers, the contract of every experiment,
#                  and training of one experiment a family and of those that have changed
# make test-all    the same, then the slow tests: training of all experiments, kills, damage, several processes, layouts,
#                  programs of preflight, pages in a browser, parity with PyTorch where it is installed
# make test-sixty  the quick tests of experiments as they will be when there are sixty: copies stand for those to come
# make soak        kill, damage, preempt and starve real runs for hours; prints what survived
PYTHON ?= python3
BIN := .venv/bin
# The tests of a file, or of an experiment, are in one process: they share what they compile.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-all test-sixty soak install lint types clean

# XLA takes a step's memory afresh each time; with glibc in large pages, where Linux gives them on request.
run: install
	GLIBC_TUNABLES=$${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1} $(BIN)/python -m experiments.ddpm

test: lint types
	$(PYTEST) -m "not slow"

# What `make test` has run is not run again.
test-all: test
	$(PYTEST) -m slow

test-sixty: .venv/installed-dev
	GEN_JAX_TOY_EXPERIMENTS=60 $(PYTEST) -m "not slow" tests/experiments

soak: install
	$(BIN)/python tests/soak/all.py

install: .venv/installed

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/mypy

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gen_jax needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt setup.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -e '.[dev]'
	touch $@
