PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Which build of torch: cpu or cuda (refused where the package index has none), or default: what the index calls 2.13.0.
TORCH ?= default
$(if $(filter $(TORCH),cpu cuda default),,$(error TORCH is $(TORCH); it can be cpu, cuda or default))
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_cpu := torch==$(TORCH_VERSION)+cpu
TORCH_cuda := torch==$(TORCH_VERSION)
PIP := $(BIN)/pip install -q -c constraints.txt

.PHONY: install dev demo test test-all bench recipes faults faults-ray faults-slurm gpu check lint types docs tables reproduce clean
.SECONDARY:

install: $(VENV)/core

$(VENV)/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH_$(TORCH)) -e .
	@$(BIN)/python -c "import torch; print('torch', torch.__version__, 'for CUDA', torch.version.cuda)"
ifeq ($(TORCH),cuda)
	@$(BIN)/python -c "import sys, torch; sys.exit(0 if torch.version.cuda else 'this index has no CUDA build of torch')"
endif
	@touch $@

# One file for each extra of pyproject.toml that is installed.
$(VENV)/extra-%: $(VENV)/core
	$(PIP) -e ".[$*]"
	@touch $@

dev: $(VENV)/extra-dev

demo: install
	$(BIN)/bandwise demo --out runs/demo

# Every module and every promise once, in three minutes on two cores; tests/tiers.py says what is left out.
test: $(VENV)/extra-test
	$(BIN)/pytest -n 2 --dist loadscope --durations=10

# Everything, as CI.
test-all: $(VENV)/extra-test
	$(BIN)/pytest -n 2 --dist loadscope --durations=10 -m "not rows"

recipes: $(VENV)/extra-test
	$(BIN)/pytest tests/rows -n 2 --dist load -m "rows or not rows"

faults: $(VENV)/extra-test
	BANDWISE_FAULTS=full nice $(BIN)/pytest tests/faults --ignore tests/faults/test_ray.py -n 2 --dist worksteal -p no:cacheprovider -m "not rows"

# On the real daemons, which Debian's slurmctld, slurmd and munge bring.
faults-slurm: $(VENV)/extra-test
	BANDWISE_FAULTS=full nice $(BIN)/pytest tests/launch/test_slurm.py -p no:cacheprovider -m "not rows"

# A Ray cluster loses 10 nodes, 20 workers and 5 launchers.
faults-ray: $(VENV)/extra-test $(VENV)/extra-ray
	BANDWISE_FAULTS=full nice $(BIN)/pytest tests/faults/test_ray.py -p no:cacheprovider -m "not rows"

lint: $(VENV)/extra-lint
	$(BIN)/ruff format --check src benchmarks tools tests docs
	$(BIN)/ruff check src benchmarks tools tests docs

types: $(VENV)/extra-lint $(VENV)/extra-test
	$(BIN)/pyright

docs: $(VENV)/extra-docs
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

bench: $(VENV)/extra-bench
	$(BIN)/python -m benchmarks all --record benchmarks
	$(BIN)/python -m benchmarks table --record benchmarks --into benchmarks/README.md
	$(BIN)/python -m benchmarks table --record benchmarks --brief --into docs/performance.md

tables: $(VENV)/extra-bench
	$(BIN)/python -m tools

# make reproduce NAME=cifar10-sub4 SEED=0
SEED ?= 0
reproduce: install
	$(BIN)/bandwise reproduce results/$(NAME)-seed$(SEED).json --out runs/reproduce-$(NAME)-seed$(SEED)

check: lint types test docs

# On a machine with an accelerator and nothing of ours: wheels and tars of pictures that .gpu holds are used from there.
GPU_OUT ?= build/gpu
DEVICE ?= cuda
gpu:
	mkdir -p $(GPU_OUT)/site $(GPU_OUT)/pictures
	for wheel in $(wildcard .gpu/*.whl); do $(PYTHON) -m pip install -q --no-index --no-deps --target $(GPU_OUT)/site $$wheel || exit 1; done
	for part in $(wildcard .gpu/*.tar); do tar xf $$part -C $(GPU_OUT)/pictures || exit 1; done
	PYTHONPATH=$(GPU_OUT)/site:$(CURDIR)/src $(PYTHON) -m benchmarks accelerator --device $(DEVICE) \
	  --json $(GPU_OUT)/accelerator.json --log $(GPU_OUT)/accelerator.log \
	  $(if $(wildcard .gpu/*.tar),--data $(GPU_OUT)/pictures/imagewoof-180)

clean:
	rm -rf $(VENV) docs/_build build
