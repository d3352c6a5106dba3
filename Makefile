# make run     install into .venv and train a first model (a few minutes on two CPU cores)
# make test    install, lint, check types, run the tests
# make soak    kill, damage, preempt and starve real runs for hours; prints what survived
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test soak install lint types clean

# XLA takes a step's memory afresh each time; with glibc in large pages, where Linux gives them on request.
run: install
	GLIBC_TUNABLES=$${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1} $(BIN)/python -m experiments.ddpm

test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

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
