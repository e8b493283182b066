# `make demo`: a barren-plateau study, from nothing.  `make test`: what CI runs.  `make gpu-check`: the same for a GPU.
PYTHON ?= python3
VENV ?= .venv
# Which Aer: `aer` for the CPU, `aer-gpu` for an NVIDIA GPU. The two wheels write the same files, so one takes the other's place.
AER ?= aer
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(AER)
export MPLBACKEND ?= Agg

.PHONY: demo test gpu-check install clean
install: $(INSTALLED)

# torch first and pinned: a resolver that meets it unpinned brings gigabytes of CUDA libraries.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, %s is %d.%d: make PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) (about 1 GB; a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip uninstall -qq --disable-pip-version-check --yes $(patsubst %,qiskit-%,$(filter-out $(AER),aer aer-gpu))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(AER)]'
	@rm -f $(VENV)/.installed*
	@touch $@

# What only the tests need: pytest, and the packages that they hold ours against.
$(INSTALLED)-dev: $(INSTALLED)
	@echo "Installing what the tests need (about 0.3 GB) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests]'
	@touch $@

demo: install
	@$(BIN)/studies run barren_plateaus --quick

test: $(INSTALLED)-dev
	$(BIN)/ruff check circuits qml studies tests
	$(BIN)/python -m pytest -q -n 2

# The GPU's tests on a GPU, in the precisions and sizes that the interpreter is too slow for.
gpu-check: $(INSTALLED)-dev
	@reason=$$($(BIN)/python -c 'from qml.native_gpu.availability import missing_gpu; print(missing_gpu())') || exit 1; \
	if [ -n "$$reason" ]; then echo "gpu-check skipped: $$reason"; exit 0; fi; \
	$(BIN)/python -m pytest -q -rs tests/test_gpu.py tests/test_gpu_limits.py tests/test_gpu_second_order.py tests/test_gpu_only.py; code=$$?; \
	[ "$(AER)" = aer-gpu ] || echo "Aer on the GPU: NOT tested, its CPU wheel is installed: make gpu-check AER=aer-gpu"; \
	exit $$code

clean:
	rm -rf $(VENV) build dist *.egg-info
