# Everything runs in .venv, made by the first target that needs it. `make PYTHON=python3.12 demo` chooses the Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := runs/demo

.PHONY: demo test check bench clean
.DEFAULT_GOAL := demo

# The stamp is newer than pyproject.toml once everything is installed, so nothing is installed twice.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Real images that come with a dependency: the 1,797 handwritten digits of scikit-learn, written out as PNG files.
demo: $(INSTALLED)
	$(BIN)/python examples/digits_as_files.py $(DEMO)-images
	$(BIN)/kinfold cluster $(DEMO)-images -k 10 --labels from-folders --out $(DEMO) --resume
	@echo "The report of the demo: $(CURDIR)/$(DEMO)/report.html"

# Two workers of one thread each: with more, the threads of small tests wait for each other.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_audit.py

bench: $(INSTALLED)
	$(BIN)/kinfold benchmark speed

clean:
	rm -rf $(DEMO) $(DEMO)-images .pytest_cache .mypy_cache .ruff_cache
