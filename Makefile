PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test recipes check lint types docs tables clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: install
	$(BIN)/bandwise demo --out runs/demo

test: install
	$(BIN)/pytest -n 2 --dist loadscope

recipes: install
	$(BIN)/pytest tests/rows -n 2 --dist load -m "rows or not rows"

lint: install
	$(BIN)/ruff format --check src tests docs
	$(BIN)/ruff check src tests docs

types: install
	$(BIN)/pyright

docs: install
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

tables: install
	$(BIN)/bandwise report --results results --into README.md

check: lint types test docs

clean:
	rm -rf $(VENV) docs/_build
