PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test bench recipes faults check lint types docs tables reproduce clean

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

faults: install
	BANDWISE_FAULTS=full nice $(BIN)/pytest tests/faults -n 2 --dist worksteal -p no:cacheprovider

lint: install
	$(BIN)/ruff format --check src benchmarks tests docs
	$(BIN)/ruff check src benchmarks tests docs

types: install
	$(BIN)/pyright

docs: install
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

bench: install
	$(BIN)/python -m benchmarks all --record benchmarks
	$(BIN)/python -m benchmarks table --record benchmarks --into benchmarks/README.md
	$(BIN)/python -m benchmarks table --record benchmarks --brief --into README.md

tables: install
	$(BIN)/bandwise report --results results --table summary --into README.md
	$(BIN)/bandwise report --results results --table evidence --into docs/evidence.md
	$(BIN)/bandwise report --results results --chart docs/accuracy.svg
	$(BIN)/bandwise report --results results --table expected --into src/bandwise/recipes/measured.json
	$(BIN)/bandwise report --results results --table seed --into docs/recipes.md
	$(BIN)/bandwise report --table sets --into docs/recipes.md

# make reproduce NAME=cifar10-sub4 SEED=0
SEED ?= 0
reproduce: install
	$(BIN)/bandwise reproduce results/$(NAME)-seed$(SEED).json --out runs/reproduce-$(NAME)-seed$(SEED)

check: lint types test docs

clean:
	rm -rf $(VENV) docs/_build
