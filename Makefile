# Each target sets up what it needs: a virtual environment in .venv, installed anew when pyproject.toml changes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test nightly check site

demo: .venv/installed
	$(BIN)/python scripts/demo.py

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

nightly: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m nightly

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(MAKE) test

site: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The tests of the page of `export --to web` need it, and are skipped without it.
build/onnxruntime-web-%.tgz:
	mkdir -p build
	npm pack --pack-destination build onnxruntime-web@$*

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@
