PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test check lint types docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: install
	$(BIN)/bandwise demo --out runs/demo

test: install
	$(BIN)/pytest -n 2 --dist loadscope

lint: install
	$(BIN)/ruff format --check src tests docs
	$(BIN)/ruff check src tests docs

types: install
	$(BIN)/pyright

docs: install
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

check: lint types test docs

clean:
	rm -rf $(VENV) docs/_build
