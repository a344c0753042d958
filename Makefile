# make demo   set up, then the main job end to end on the demo catalogue: two minutes
# make report the same at full length, with all models in the report: five minutes
# make test   set up, then all tests
# make test-fast  without the slow tests and those that start processes: two minutes
# make test-thorough  all tests, with more kills and more examples of what properties hold for
# make docs   the documentation site, into site/
# make container  the steps of the Dockerfile, in an empty environment: two minutes
# make check  lint, types, tests, docs, and the wheel beside Hugging Face `datasets`

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# LightFM and Annoy compile for the very processor they are built on unless told
# otherwise; the wheels pip caches must also run on another machine.
export LIGHTFM_NO_CFLAGS = 1
export ANNOY_COMPILER_ARGS = -O3,-ffast-math,-fno-associative-math

.PHONY: demo report test test-fast test-thorough lint types docs wheel container check clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coldtune needs Python 3.11 or later; name one with: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/coldtune demo --out demo

report: $(READY)
	$(BIN)/coldtune demo --out demo --full

# One thread a test process: a matrix product that takes all cores only gets in the others' way.
# A file's tests stay in one process, which makes their fixtures once; processes that they start need
# not compile the sources again.
test: $(READY)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile

test-fast: $(READY)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" tests

test-thorough:
	COLDTUNE_TEST_THOROUGH=1 $(MAKE) test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

wheel: $(READY)
	$(BIN)/python tests/check_wheel.py

container: $(READY)
	PYTHON=$(abspath $(BIN))/python docker/steps.sh

check: lint types test docs wheel

clean:
	rm -rf $(VENV) demo build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache
