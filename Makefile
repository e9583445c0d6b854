# `make` lists the targets. Another Python: `make test PYTHON=python3.12`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SIZE_LIMIT_MB := 360
PEERS := .venv-peers
KERAS := .venv-keras
CUDA := .venv-cuda
CONTESTS := convolution networks scaling memory
# winograd_curves trains for minutes, gpu needs one: run them by their names
BENCHMARKS ?= $(CONTESTS) $(filter-out $(CONTESTS) winograd_curves gpu,$(basename $(notdir $(wildcard benchmarks/*.py))))

.DEFAULT_GOAL := help
.PHONY: help install demo plugins test check size peers bench parity sim ptx nightly clean

help:
	@echo 'make demo     train on real images of digits and predict some (under 3 minutes)'
	@echo 'make plugins  install the plugins of plugins/ into $(VENV), for numbacnn there to find them'
	@echo 'make test     the whole suite'
	@echo 'make check    ruff and the import order'
	@echo 'make size     installed size with run-time dependencies only (limit $(SIZE_LIMIT_MB) MB)'
	@echo 'make bench    the benchmarks, beside PyTorch, ONNX Runtime and OpenVINO'
	@echo 'make peers    the virtual environment of those three'
	@echo 'make parity   the networks of keras.applications beside live Keras (makes $(KERAS); NUMBACNN_KERAS names another Python)'
	@echo 'make sim      every CUDA kernel on a simulated GPU beside the CPU'
	@echo 'make ptx      every CUDA kernel compiled for every GPU architecture: registers, shared memory, spills (makes $(CUDA); needs no GPU)'
	@echo 'make nightly  the suite with its long checks'
	@echo 'make clean    remove what the targets above made'

install: $(READY)

# A half-made environment has no stamp and is finished by the next call; a changed pyproject.toml installs anew.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(PYTHON) is older than Python 3.11: make PYTHON=python3.12'; exit 1; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,check,demo]'
	@touch $@

PLUGINS := $(sort $(wildcard plugins/*/pyproject.toml))

plugins: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(foreach project,$(PLUGINS),-e './$(patsubst %/,%,$(dir $(project)))[test]')

demo: $(READY)
	$(BIN)/python tools/demo.py

test: $(READY)
	$(BIN)/python -m pytest -n auto -m 'not slow and not sim'

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

size: $(READY)
	rm -rf .venv-size build
	$(PYTHON) -m venv .venv-size
	.venv-size/bin/python -m pip install --quiet --disable-pip-version-check .
	$(BIN)/python tools/size.py .venv-size $(SIZE_LIMIT_MB)
	rm -rf .venv-size build

# The peers that the benchmarks compare with live in an environment of their own; NUMBACNN_PEERS names another one.
$(PEERS)/.ready: benchmarks/requirements.txt
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

peers: $(if $(NUMBACNN_PEERS),,$(PEERS)/.ready)

bench: $(READY) peers
	for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

# Live Keras in an environment of its own: it is only asked, through files in build/parity. NUMBACNN_TF_KERAS names a Python with tf.keras 2.15.
$(KERAS)/.ready:
	$(PYTHON) -m venv --clear $(KERAS)
	$(KERAS)/bin/python -m pip install --quiet --disable-pip-version-check keras==3.15.1 'jax>=0.5'
	@touch $@

parity: $(READY) $(if $(NUMBACNN_KERAS),,$(KERAS)/.ready)
	$(BIN)/python tools/parity.py

sim: $(READY)
	NUMBACNN_SERIAL=1 $(BIN)/python -m pytest -n auto -m 'sim and not slow'

# The compiler for GPUs is 0.8 GB: in an environment of its own; NUMBACNN_CUDA names another Python that has it.
$(CUDA)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(CUDA)
	$(CUDA)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,cuda]'
	@touch $@

ptx: $(if $(NUMBACNN_CUDA),,$(CUDA)/.ready)
	$(or $(NUMBACNN_CUDA),$(CUDA)/bin/python) tools/ptx.py

nightly: $(READY) peers
	NUMBACNN_NIGHTLY=1 $(BIN)/python -m pytest -n auto

clean:
	rm -rf $(VENV) $(PEERS) $(KERAS) $(CUDA) .venv-size build dist demo *.egg-info .pytest_cache .hypothesis .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
