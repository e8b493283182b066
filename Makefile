# `make demo`: a barren-plateau study, from nothing.  `make test`: what CI runs.  `make gpu-check`: the same for a GPU.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export MPLBACKEND ?= Agg

.PHONY: demo test gpu-check install clean
install: $(VENV)/.installed

# torch first and pinned: a resolver that meets it unpinned brings gigabytes of CUDA libraries.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, %s is %d.%d: make PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) (about 1 GB; a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[aer]'
	@touch $@

# What only the tests need: pytest, and the packages that they hold ours against.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need (about 0.3 GB) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/studies run barren_plateaus --quick

test: $(VENV)/.installed-dev
	$(BIN)/ruff check circuits qml studies tests
	$(BIN)/python -m pytest -q -n 2

# The GPU's tests on a GPU, in the precisions and sizes that the interpreter is too slow for.
gpu-check: $(VENV)/.installed-dev
	@reason=$$($(BIN)/python -c 'from qml.native_gpu.availability import missing_gpu; print(missing_gpu())') || exit 1; \
	if [ -n "$$reason" ]; then echo "gpu-check skipped: $$reason"; else \
	$(BIN)/python -m pytest -q -rs tests/test_gpu.py tests/test_gpu_only.py; fi

clean:
	rm -rf $(VENV) build dist *.egg-info
