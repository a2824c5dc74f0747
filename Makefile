# Thin on purpose: the work is done by tools/*.sh and the command aiida-limsm.
# Everything stays inside the checkout: .venv/ holds the package, .limsm/ everything else.
SHELL := /usr/bin/env bash
ROOT := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
RUN := $(ROOT)/tools/run.sh

.DEFAULT_GOAL := help
.PHONY: help setup setup-runtime setup-dev demo test test-fast lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: setup-runtime ## install everything into this folder and make the AiiDA profile (about 3 min, once)
	@$(RUN) aiida-limsm setup

setup-runtime:
	@$(ROOT)/tools/setup.sh runtime

setup-dev:
	@$(ROOT)/tools/setup.sh dev

demo: setup-runtime ## the whole road on a small crystal, from DFT to a diffusion coefficient
	@$(RUN) aiida-limsm setup --daemon --quiet
	@$(RUN) aiida-limsm demo $(ARGS)

test: setup-dev ## lint, then all tests
	@$(ROOT)/tools/test.sh all

test-fast: setup-dev ## the tests that take seconds
	@$(ROOT)/tools/test.sh fast

lint: setup-dev ## ruff, mypy and the import rules
	@$(ROOT)/tools/test.sh lint

clean: ## stop the daemon, then remove .venv and .limsm (with the demo's AiiDA data)
	@$(ROOT)/tools/clean.sh
