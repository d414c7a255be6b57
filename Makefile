# `make help` lists the commands. PROFILE=quick|class|paper says how thoroughly to measure;
# EXECUTE=off renders the stored outputs instead of running the notebooks here.
PROFILE ?= class
EXECUTE ?= auto
export PROFILE EXECUTE

PYTHON := # not the environment's
export RUN
# Where it is set, each process compiles all that it imports again.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
# Tests run in two processes: what measures in one, all else beside it. More would only disturb it.
WORKERS := 2
TOGETHER := --numprocesses=$(WORKERS)
PYTEST := $(BIN)/python tests/run.py
INSTALLED := .venv/.installed
MESSAGES := _build/boxlab.pot
CATALOGUES := src/boxlab/locale
CODE := src tests labs book tools
CHECKS := style format types imports shell spelling

.DEFAULT_GOAL := help
.PHONY: help book quick test test-engines unit check $(CHECKS:%=check-%) proofs mutants lab doctor bench notebooks messages lock engine machines clean host FORCE

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  variables:      PROFILE=quick|class|paper   EXECUTE=off (render the stored outputs)"

book: host $(INSTALLED) ## measure on this machine and render the book into _build/html
	@tools/book.sh

quick: export PROFILE := quick
quick: host $(INSTALLED) ## measure chapter 1 alone, in minutes, and render the book with that
	@tools/book.sh measure notebooks/01-machine.ipynb

test: export PROFILE := quick
test: export BOXLAB_TERMINAL :=
test: PARTS := tests
test: host $(INSTALLED) ## prove it: library, engine, virtual machines, notebooks, rendered pages
	@$(MAKE) --no-print-directory check
	@$(BIN)/boxlab prepare
	@EXECUTE=off BOOK_OUT=_build/test tools/book.sh
	@# Notebooks are tests as well: nbval runs them and compares the outputs of their deterministic cells.
	@$(PYTEST) $(TOGETHER) --census --nbval --nbval-current-env --nbval-cell-timeout=1200 tests notebooks

test-engines: export PROFILE := quick
test-engines: export BOXLAB_TERMINAL :=
test-engines: PARTS := tests
test-engines: host $(INSTALLED) ## only the tests that depend on the kind of engine (DOCKER_HOST says which), in minutes
	@$(BIN)/boxlab prepare
	@$(PYTEST) $(TOGETHER) --census -pno:nbval -mengines tests

unit: $(if $(PYTHON),,$(INSTALLED)) ## only the tests that need no engine, in seconds; PYTHON=3.14 with that one
	@$(if $(PYTHON),tools/pythons.sh $(PYTHON) make unit,$(PYTEST) $(TOGETHER) -pno:nbval tests/unit)

check: $(INSTALLED) ## look at the sources without running them, in seconds (or ONLY=… a part of it)
	@began=$$(date +%s); \
	  $(MAKE) --no-print-directory --keep-going --jobs $(filter --output-sync,$(.FEATURES:%=--%)) $(addprefix check-,$(or $(ONLY),$(CHECKS))); \
	  status=$$?; $(if $(ONLY),,$(BIN)/python tools/counts.py || status=1;) echo "check: took $$(($$(date +%s) - began)) s"; exit $$status
check-style:
	@$(BIN)/ruff check --quiet $(CODE)
check-format:
	@$(BIN)/ruff format --quiet --diff $(CODE)
check-types:
	@$(BIN)/mypy --no-error-summary
check-imports:
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }
check-shell:
	@shellcheck tools/boxlab tools/*.sh .ci/run images/*/*.sh
check-spelling:
	@$(BIN)/codespell $(CODE) images notebooks *.md *.yml Makefile pyproject.toml .ci .github
	@$(BIN)/codespell --builtin en-GB_to_en-US book/*.md book/*.yml labs notebooks README.md LICENSE # what readers see

proofs: host $(INSTALLED) ## authors: prove each lab, every answer by all of its checks (or ONLY=NN one of them)
	@$(BIN)/boxlab verify $(ONLY)

mutants: host $(INSTALLED) ## authors: take out each check of each lab, and see that `boxlab verify` notices
	@$(BIN)/boxlab verify --mutants

lab: host $(INSTALLED) ## open JupyterLab on the notebooks
	@$(BIN)/boxlab prepare
	@JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

doctor: $(INSTALLED) ## say what this machine can do, and the fix for what it cannot
	@$(BIN)/boxlab doctor

bench: PARTS := tests
bench: host $(INSTALLED) ## time what is promised to be fast (or ONLY=… some of its parts)
	@$(BIN)/boxlab prepare
	@$(BIN)/python tests/bench.py $(ONLY)

notebooks: host $(INSTALLED) ## authors: run the notebooks (or NOTEBOOKS=…) and store their outputs and records
	@$(BIN)/boxlab prepare
	@tools/book.sh store $(NOTEBOOKS)

messages: $(INSTALLED) ## authors: collect what can be translated into _build/boxlab.pot, and update each catalogue
	@mkdir -p $(dir $(MESSAGES))
	@PYTHONPATH=tools $(BIN)/pybabel --quiet extract --mapping=pyproject.toml --keywords=several:1,2 --project=boxlab --no-wrap \
	  --output-file=$(MESSAGES) .
	@if [ -d $(CATALOGUES) ]; then \
	  $(BIN)/pybabel --quiet update --domain=boxlab --input-file=$(MESSAGES) --output-dir=$(CATALOGUES) --no-wrap --ignore-pot-creation-date && \
	  $(BIN)/pybabel --quiet compile --domain=boxlab --directory=$(CATALOGUES); fi

lock: $(INSTALLED) ## authors: resolve pyproject.toml into requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.txt

engine: ## authors: start a current engine beside this machine's own (tools/engine.sh says how to use it)
	@tools/engine.sh start

machines: $(INSTALLED) ## authors: try the book on each machine of tests/machines (hours, emulated); M=reader boots one, RUN='COMMAND' runs one there
	@$(if $(M),tools/machines.sh $(M) $(if $(RUN),run "$$RUN",start), \
	  failed=0; for machine in $$(tools/machines.sh | cut -d ' ' -f 1); do tools/machines.sh $$machine try || failed=1; done; exit $$failed)

clean: ## remove what was made here: containers, caches, the rendered book, the labs' images
	@rm -rf _build .*_cache
	@# Without an engine (status 3) all goes but what is on it, and the names by which that is found later.
	@status=0; keep=; \
	  if [ -x $(BIN)/boxlab ]; then \
    if ! $(BIN)/python -c 'import boxlab' 2>/dev/null; then status=3; keep=names; \
      echo "clean: .venv does not run, so what is on the engine stays; fix: make .venv/.installed, then make clean" >&2; \
    else $(BIN)/boxlab clean --images || { status=$$?; keep=names; [ $$status = 3 ] || exit $$status; }; fi; fi; \
	  if [ -d .cache/engine ]; then tools/engine.sh remove || exit; fi; \
	  for machine in .cache/machines/*/; do if [ -d "$$machine" ]; then tools/machines.sh "$$(basename "$$machine")" remove || exit; fi; done; \
	  for path in .cache/* .cache/.[!.]*; do [ "$$path" = ".cache/$$keep" ] || rm -rf "$$path"; done; \
	  rmdir .cache 2>/dev/null; exit $$status

host:
	@tools/setup.sh host $(PARTS)

# The script sees by what is in it whether anything is to be done: times lie after a copy, or where a clock was wrong.
$(INSTALLED): FORCE
	@tools/setup.sh venv
FORCE:
