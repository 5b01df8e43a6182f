# The developer's commands. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests wait more than they compute, so one process more than there are cores.
JOBS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 1) + 1)))

.DEFAULT_GOAL := help
CLUSTER_TESTS ?= tests/cluster
.PHONY: help setup demo test test-cluster cluster-up cluster-down cluster-platform check format images relock bench bench-gateway bench-builder bench-cluster bench-eventing soak fuzz crds chart clean conformance conformance-eventing manifests

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv and install kfn with its tools

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kfn needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python cannot make a virtual environment: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## the main job on real input: deploy, invoke from zero, events wake an inference function
	@$(BIN)/python examples/demo.py

test: $(STAMP) ## every test that needs no cluster
	@$(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist worksteal -m "not cluster" tests

cluster-up: $(STAMP) ## a real Kubernetes on this machine, for tests; KFN_CLUSTER names it (docs/cluster-testing.md)
	@$(BIN)/python -m tests.cluster up

cluster-down: $(STAMP) ## end it and remove all of it
	@$(BIN)/python -m tests.cluster down

test-cluster: $(STAMP) ## tests on a real Kubernetes: yours if KUBECONFIG is set (and KFN_TEST_REGISTRY), else the one of cluster-up
	@if [ -z "$$KUBECONFIG" ]; then given=$$($(BIN)/python -m tests.cluster up) || exit 1; eval "$$given"; fi; \
	$(BIN)/python -m pytest -q -m cluster $(CLUSTER_TESTS) || { [ -n "$(AGAIN)" ] && $(BIN)/python -m pytest -q -m cluster --last-failed $(CLUSTER_TESTS); }

conformance: $(STAMP) ## Knative Serving's own conformance suite on that cluster, into docs/conformance.md; CONFORMANCE=--check: against what passed before
	@if [ -z "$$KUBECONFIG" ]; then given=$$($(BIN)/python -m tests.cluster up) || exit 1; eval "$$given"; fi; \
	$(BIN)/python -m tests.cluster.conformance $(CONFORMANCE)

conformance-eventing: $(STAMP) ## Knative Eventing's conformance tests of Brokers and Channels on that cluster, into docs/conformance-eventing.md; likewise
	@if [ -z "$$KUBECONFIG" ]; then given=$$($(BIN)/python -m tests.cluster up) || exit 1; eval "$$given"; fi; \
	$(BIN)/python -m tests.cluster.conformance.eventing $(CONFORMANCE)

check: $(STAMP) ## format, lint, import layers, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

format: $(STAMP) ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

images: $(STAMP) ## kfn's own images by kfn's own builder; IMAGES="--registry HOST/PREFIX" pushes them
	@$(BIN)/python -m deploy.images $(IMAGES)

relock: $(STAMP) ## the locks of those images anew, from pyproject.toml and constraints.txt
	@$(BIN)/python -m deploy.relock

manifests: $(STAMP) ## what the chart becomes without helm, into deploy/manifests; takes helm
	@$(BIN)/python -m deploy.render

cluster-platform: $(STAMP) ## kfn of this checkout on the cluster of KUBECONFIG, from $KFN_TEST_REGISTRY
	@$(BIN)/python -m tests.cluster.platform up

bench: $(STAMP) ## the figures of design section 7, as ratios
	@$(BIN)/python -m tests.benchmarks

bench-gateway: $(STAMP) ## the gateway beside Go's and nginx's proxy, the whole matrix; writes table and chart into docs/
	@$(BIN)/python -m tests.benchmarks.gateway --full --write

bench-cluster: $(STAMP) ## cold starts on a cluster with kfn on it beside bare Kubernetes; a burst, the way to zero, warm throughput
	@$(BIN)/python -m tests.benchmarks.cluster_coldstart $(BENCH)

bench-builder: $(STAMP) ## builds beside pip, tar and gzip; container starts with and without bytecode
	@$(BIN)/python -m tests.benchmarks builder

bench-eventing: $(STAMP) ## the event bus beside a raw JetStream publisher: rates, latencies, fan-out, memory
	@$(BIN)/python -m tests.benchmarks events

soak: $(STAMP) ## ten minutes of kfn verify-bus: faults around the event bus, and no loss; SOAK="--seed 7" for one of your own
	@$(BIN)/kfn verify-bus --seconds 600 --patience 240 $(SOAK)

fuzz: $(STAMP) ## spoilt messages at both sides of the gateway; FUZZ="600 1" for ten minutes with seed 1
	@$(BIN)/python -m tests.fuzz.gateway $(FUZZ)

crds: $(STAMP) ## write the CRDs of the chart anew from kfn/api
	@$(BIN)/python -m kfn.api.crd deploy/chart/kfn/files/crds

chart: $(STAMP) ## write the table of the chart's values, and what it holds of deploy/observability
	@$(BIN)/python -m deploy.chartfiles

clean: ## remove what was built here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist
