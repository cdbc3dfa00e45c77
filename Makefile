PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SPARK_INSTALLED := $(VENV)/.spark-installed
PEERS_INSTALLED := $(VENV)/.peers-installed
LABELLED ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check bench drill install spark peers lock

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(INSTALLED) ## install, then the whole job on real hospitals in local sandboxes; results in var/demo/
	$(BIN)/platbook demo

test: $(INSTALLED) ## install, then the whole test suite, in a process per processor
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadgroup

check: $(INSTALLED) ## ruff, mypy --strict, import-linter, layout and docs tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_layout.py tests/test_docs.py

bench: $(INSTALLED) ## benchmarks, as ratios against a reference measured in the same run; with LABELLED=DIR also identity beside Splink
	$(BIN)/python -m bench --million
	$(if $(LABELLED),$(MAKE) --no-print-directory peers && $(BIN)/python -m bench.identity --data $(LABELLED),@echo "identity: no labelled hospitals named, so it is not scored; make bench LABELLED=DIR")

drill: $(INSTALLED) ## the deep drills: crashes, real kills, races of people, storms of faults; hours. One: make drill SECTION="races --count 4"
	$(BIN)/python -m tests.drills.deep $(SECTION)

install: $(INSTALLED) ## make .venv and install exactly what the lock file names

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Platbook needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(INSTALLED)

spark: $(SPARK_INSTALLED) ## add PySpark to .venv (needs Java 17) for the second engine and its tests

$(SPARK_INSTALLED): requirements-spark.lock $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-spark.lock
	@touch $(SPARK_INSTALLED)

peers: $(PEERS_INSTALLED) ## add Splink and scikit-learn to .venv, for the identity bench alone

$(PEERS_INSTALLED): requirements-peers.lock $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-peers.lock
	@touch $(PEERS_INSTALLED)

lock: ## renew the lock files (needs uv)
	uv pip compile pyproject.toml --extra demo --extra postgres --extra dev --generate-hashes --no-header --universal --python-version 3.11 -o requirements.lock
	echo 'pyspark>=3.5.3,<5' | uv pip compile - --generate-hashes --no-header --universal --python-version 3.11 -o requirements-spark.lock
	printf 'splink>=5,<6\nscikit-learn>=1.5,<2\n' | uv pip compile - -c requirements.lock --generate-hashes --no-header --universal --python-version 3.11 -o requirements-peers.lock
