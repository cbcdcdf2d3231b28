PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1
export NO_MKDOCS_2_WARNING := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: site test parity lint serve clean

site: $(VENV)/site.stamp  ## compute what is missing, write the pages, build the site into site/
	$(BIN)/python -m compute build --all
	$(BIN)/mkdocs build --strict

test: $(VENV)/test.stamp  ## run the quick tests
	$(BIN)/python -m pytest -n 2

parity: $(VENV)/test.stamp .venv-mergekit/stamp  ## merge methods against mergekit itself, in an environment of its own
	RECOUNT_MERGEKIT=$(CURDIR)/.venv-mergekit/bin/python $(BIN)/python -m pytest -n 2 tests/merging/parity

lint: $(VENV)/test.stamp  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

serve: $(VENV)/site.stamp  ## browse the site, also while editing
	$(BIN)/python -m compute build --all
	$(BIN)/mkdocs serve

$(VENV)/site.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/test.stamp: $(VENV)/site.stamp
	$(BIN)/pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

.venv-mergekit/stamp: benchmarks/merging/peers.txt
	$(PYTHON) -m venv .venv-mergekit
	.venv-mergekit/bin/pip install --quiet -r benchmarks/merging/peers.txt
	touch $@

clean:  ## remove what is generated, but for the cache of results
	rm -rf site docs/studies docs/reference docs/assets
