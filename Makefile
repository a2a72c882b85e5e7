# `make` lists the targets. Anything longer than a command or two lives in tools/, containers/ and molecule/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The controller's Python, 3.11 or newer; one is chosen unless it is set.
PYTHON ?=
# One molecule scenario instead of all of them.
SCENARIO ?=
# One part of the benchmarks instead of all of them.
PART ?=
# What `make chaos` does: the schedule of a seed, so many steps of it or those from one number to another, with one
# service manager or both, on one release of Debian.
SEED ?= 1
STEPS ?= 20
MANAGER ?=
RELEASE ?= bookworm

VENV := .venv
NEWEST := .venv-newest
LINK := .ansible/collections/ansible_collections/galaxyops/uwsgi
# The scenarios in two rows that take about the same time, and no more: every Galaxy that has to wait for the others costs time by what it
# does meanwhile.
SCENARIO_ROWS := 'molecule-bullseye molecule-tiny' 'molecule-default molecule-postgresql'
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Where Python is told not to keep what it has compiled, it would compile every tool anew whenever that is started.
unexport PYTHONDONTWRITEBYTECODE

say = @printf '\n\033[1m=== %s\033[0m\n' "$(1)"

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt requirements-tools.txt tools/setup
	$(call say,setup)
	@tools/setup "$(PYTHON)" $(VENV) requirements.txt
	@touch $@

$(LINK):
	@mkdir -p $(@D) && ln -sfn "$(CURDIR)" $@

.PHONY: setup
setup: $(VENV)/.installed $(LINK) ## Install the pinned tools into .venv; does nothing when they are there

.PHONY: demo
demo: setup ## Build a machine with a Galaxy behind nginx on this computer, and say where it answers
	@containers/prepare
	@containers/env containers/demo

.PHONY: demo-clean
demo-clean: setup ## Remove what `make demo` built
	@containers/env containers/demo-clean

# What needs no hosts runs beside them, so that nothing is left to run alone at the end.
.PHONY: test
test: setup ## Everything: lint, unit, sanity, molecule, and some of it with the newest ansible-core
	@containers/prepare chromium
	@tools/side-by-side 'lint unit sanity newest' $(SCENARIO_ROWS)

.PHONY: lint
lint: setup ## Style, types, documentation, changelog
	$(call say,lint)
	@tools/lint

.PHONY: unit
unit: setup ## Unit tests; no containers, no root
	$(call say,unit)
	python -m pytest -q -n auto --dist loadscope tests/unit

.PHONY: sanity
sanity: setup ## What `ansible-test sanity` asks of every collection
	$(call say,sanity)
	@tools/sanity

.PHONY: newest
newest: setup ## Lint, unit, sanity and the roles on two hosts with the newest ansible-core
	$(call say,newest)
	@containers/prepare
	@tools/newest "$(PYTHON)" $(NEWEST)

.PHONY: molecule
molecule: setup ## Every role on real machines in containers; SCENARIO=name for one
	@containers/prepare chromium
	@$(if $(SCENARIO),$(MAKE) molecule-$(SCENARIO),tools/side-by-side $(SCENARIO_ROWS))

molecule-%: setup
	$(call say,molecule $*)
	@containers/prepare chromium
	@containers/env molecule/run $*

.PHONY: bench
bench: setup ## Measure serving, deploying, growth, memory and times, beside what they can be compared with; PART=name for one
	$(call say,bench $(PART))
	@containers/prepare
	@containers/env python -m bench $(PART)

.PHONY: chaos
chaos: setup ## Break a host under load again and again, and check what has to hold; SEED=1 STEPS=20 MANAGER=systemd|supervisor
	@containers/prepare
	@PYTHONPATH=molecule/utils containers/env python -m chaos --seed $(SEED) --steps $(STEPS) --release $(RELEASE) $(if $(MANAGER),--manager $(MANAGER))

.PHONY: build
build: ## The artifact to install or publish, in build/; needs ansible-core alone
	@command -v ansible-galaxy >/dev/null || { echo "make build needs ansible-core: pip install ansible-core, or make setup" >&2; exit 1; }
	ansible-galaxy collection build --force --output-path build

.PHONY: docs
docs: setup ## Write the roles' option tables into their READMEs, and docs/reference.md
	@tools/role_readme.py
	@tools/reference.py

.PHONY: clean
clean: ## Remove what the other targets left, except the tools and the demo
	rm -rf build tests/output .ansible/sanity .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
