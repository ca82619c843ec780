# The two commands of the README, and the checks of a developer. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-lowest dist golden slow-test kill-test slurm-test chaos-test lint format clean browser-test simulation

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Mixlingual needs Python 3.11 or newer with venv (Debian: apt install python3-venv)'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: setup.cfg constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: setup.cfg constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/core

demo: $(VENV)/core  ## Train and evaluate a small size x ratio grid; prints the table and where the report lies.
	$(BIN)/python -m mixlingual.train sweep=demo
	$(BIN)/python -m mixlingual.report sweep_name=demo

test: $(VENV)/dev  ## Run the tests, one process a core. MIXLINGUAL_DATA=FOLDER adds those that need the real data.
	$(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 8 --dist worksteal

# A fast part of the tests, which meets every library. CPU builds of PyTorch come from its own index; a set that is to be
# had elsewhere: make test-lowest LOWEST='--find-links FOLDER --override FILE'
LOWEST ?= --torch-backend cpu
LOWEST_TESTS ?= tests/batches tests/measures tests/model tests/analysis tests/config tests/test_train.py tests/test_command.py

test-lowest: | $(BIN)/python  ## Run a fast part of the tests with the oldest versions that setup.cfg allows.
	$(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/uv venv --quiet --clear --python $(BIN)/python build/lowest
	build/uv/bin/uv pip install --quiet --python build/lowest --resolution lowest-direct $(LOWEST) --editable '.[dev]'
	build/lowest/bin/python -m pytest -q $(LOWEST_TESTS)

dist: | $(BIN)/python  ## Build the sdist, from it the wheel, and check the metadata of both; they lie in dist/.
	$(PYTHON) -m venv build/publish && build/publish/bin/python -m pip install --quiet build twine
	rm -rf dist && build/publish/bin/python -m build --outdir dist . && build/publish/bin/twine check --strict dist/*

golden: $(VENV)/dev  ## Compute the golden numbers of the tests anew; commit them only where a change of them is meant.
	$(BIN)/python -m tests.golden.make

slow-test: $(VENV)/dev  ## Run the tests that `make test` leaves out because they take minutes.
	$(BIN)/python -m pytest -q -m slow

$(VENV)/browser: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	@touch $@ $(VENV)/core $(VENV)/dev

browser-test: $(VENV)/browser  ## Test the report page in Chromium; leaves screenshots in build/screenshots.
	@command -v chromium > /dev/null || apt-get install --yes --no-install-recommends chromium \
	  || { echo 'No chromium: install it as root (Debian: apt install chromium)'; exit 1; }
	MIXLINGUAL_SCREENSHOTS=build/screenshots $(BIN)/python -m pytest -q tests/browser

simulation: $(VENV)/dev  ## Count coverage and false positives of the statistics in experiments with a known truth.
	$(BIN)/python tests/simulation.py

kill-test: $(VENV)/dev  ## Kill 100 runs at random moments until they finish; each must end with the same bits.
	$(BIN)/python -m pytest -q -m slow tests/training/test_kills.py

slurm-test: $(VENV)/dev  ## Disturb sweeps on a real Slurm, which is installed and started for it (root, Debian).
	$(BIN)/python -m pytest -q -m 'slurm or not slurm' tests/slurm

chaos-test: $(VENV)/dev  ## Disturb 20 grids on a real Slurm at random moments and count those with the same bits.
	$(BIN)/python -m tests.slurm.chaos --grids 20

docs: $(VENV)/dev  ## Build the pages of docs/ as a site in build/site; links that lead nowhere end it.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo 'open build/site/index.html; its search needs a server: python3 -m http.server --directory build/site'

lint: $(VENV)/dev  ## Check style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and build leftovers; results under multirun/ stay.
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
