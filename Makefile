# `make demo`: a barren-plateau study, from nothing.  `make test`: what CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export MPLBACKEND ?= Agg

.PHONY: demo test lint install clean
install: $(VENV)/.installed

# torch first and pinned: a resolver that meets it unpinned brings gigabytes of CUDA libraries.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, %s is %d.%d: make PYTHON=python3.12" % ((sys.executable,) + sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) (about 1 GB; a few minutes the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/studies run barren_plateaus --quick

test: install
	$(BIN)/ruff check circuits qml studies tests
	$(BIN)/python -m pytest -q -n 2

clean:
	rm -rf $(VENV) build dist *.egg-info
