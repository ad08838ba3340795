# Two commands: make demo, make test. Needs make and Python 3.11 to 3.13, nothing else.

BIN := .venv/bin
export PYTHON GPU TORCH_INDEX

# The embedded weights come as a package: the demo and the tests ask nobody for anything.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

.DEFAULT_GOAL := help
.PHONY: help setup demo check test lint types prose sbom audit

help: ## Show this
	@echo 'notemill: entities, search and summaries over clinical notes'
	@echo
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile
	@echo
	@echo 'Options, remembered by setup: PYTHON=python3.12, TORCH_INDEX=URL, GPU=1 (the CUDA build of torch)'

setup: ## Make .venv with everything pinned (about 4 minutes, once)
	@scripts/setup

demo: setup ## Run all three tasks on examples/notes and show the answers
	@$(if $(NOTEMILL_WEIGHTS),,$(OFFLINE)) $(BIN)/notemill run examples/notes --task entities --task summary \
	  --search 'What medications was the patient sent home on?' \
	  --search 'Is there any sign of infection?'

check: lint types prose ## Linters, types, spelling, and the tests that start no process: under a minute
	@echo 'Tests that start no process:'
	@$(OFFLINE) $(BIN)/pytest -n 2 -m 'not process' --no-header

prose: setup ## Spelling and style of the documentation
	@echo 'Prose:'
	@scripts/prose

test: lint types prose ## Linters, types, import rules, tests with coverage
	@echo 'Tests:'
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || echo 'No Chromium: the pages are not tested in a browser (apt-get install chromium).'
	@$(OFFLINE) $(BIN)/pytest -n 3 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: setup ## ruff and the import rules
	@echo 'Linters:'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@echo 'Import rules:'
	@$(BIN)/lint-imports

sbom: setup ## What it is all made of, as CycloneDX in build/sbom.json
	@mkdir -p build
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-format JSON \
	  --output-file build/sbom.json $(BIN)/python && echo 'build/sbom.json'

audit: setup ## Known weaknesses of what it is made of, where pip-audit and its index are reachable
	@scripts/audit

types: setup ## mypy, strict, on our packages
	@echo 'Types:'
	@$(BIN)/mypy
