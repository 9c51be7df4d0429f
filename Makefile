# The commands of this repository; each installs what it needs first.
SHELL := /bin/bash
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS := 2
PEERS := .venv-bench/.installed .venv-nannyml/.installed

.PHONY: help setup lock demo demo-k8s up down test mutants bench images check-k8s lint clean
.DEFAULT_GOAL := help

help:  ## say what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: $(STAMP)  ## install everything into .venv

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv

$(STAMP): requirements.lock pyproject.toml | $(filter .tools/bin/uv,$(UV))
	test -x $(BIN)/python || $(UV) venv --quiet --python 3.11 .venv
	@echo "installing what requirements.lock names: several gigabytes the first time, minutes"
	$(UV) pip sync --quiet --python .venv requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	touch $@

lock: | $(filter .tools/bin/uv,$(UV))  ## write requirements.lock anew
	$(UV) pip compile pyproject.toml --all-extras --universal --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 --quiet \
	  --output-file requirements.lock
	$(UV) pip compile bench/requirements.in --constraint requirements.lock --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --quiet \
	  --output-file bench/requirements.lock
	$(UV) pip compile bench/nannyml.in --universal --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --python-version 3.11 --quiet --output-file bench/nannyml.lock
	$(UV) pip compile docker/tools.in --constraint requirements.lock --universal \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11 --quiet \
	  --output-file docker/tools.lock

.venv-bench/.installed: bench/requirements.lock
.venv-nannyml/.installed: bench/nannyml.lock
$(PEERS): | $(filter .tools/bin/uv,$(UV))
	test -x $(@D)/bin/python || $(UV) venv --quiet --python 3.11 $(@D)
	$(UV) pip sync --quiet --python $(@D) $<
	touch $@

demo: setup  ## the whole loop on real flights: ingest, train, gate, promote; services stay up
	@$(BIN)/perennial demo

demo-k8s: setup  ## the same with every task in a pod of the cluster that KUBECONFIG names
	@PERENNIAL_PROFILE=servers PERENNIAL_LAUNCHER=kubernetes \
	  PERENNIAL_HOME=$${PERENNIAL_HOME:-$(CURDIR)/.perennial-k8s} $(BIN)/perennial demo

up: setup  ## start the services
	@$(BIN)/perennial up

down: setup  ## end the services; state is kept
	@$(BIN)/perennial down

test: export OPENBLAS_NUM_THREADS := 1
test: setup  ## run all tests with branch coverage
	rm -f .coverage.json
	$(BIN)/python -m slipcover --json --out .coverage.json \
	  -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m slipcover --merge .coverage.json --out .coverage.json --fail-under 90

bench: setup $(PEERS)  ## measure us beside others; writes docs/benchmarks.md
	@$(BIN)/python -m bench

images: setup  ## build the images: IMAGES="tasks airflow" BASE=name; docs/images.md
	@$(BIN)/perennial image $(IMAGES) $(if $(BASE),--base $(BASE)) $(if $(RELEASE),--release) \
	  $(IMAGE_OPTIONS)

mutants: setup  ## change joins, gates and fencing a little, and count what the tests notice
	$(BIN)/python -m bench.mutants

check-k8s: setup | $(filter .tools/bin/uv,$(UV))  ## render k8s/ and check it without a cluster
	VALIDATE=../$(BIN)/kubernetes-validate \
	  CHECKOV="$(if $(filter /%,$(UV)),,../)$(UV) tool run checkov@3.3.30" k8s/check

lint: setup  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/Dockerfile
	PYTHONPATH=plugins $(BIN)/lint-imports

clean:  ## remove what was installed
	rm -rf .venv .venv-bench .venv-nannyml .tools
