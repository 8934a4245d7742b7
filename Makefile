# Each target sets up what it needs in .venv, from Python 3.11 or newer and make alone.

RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c '$(RECENT)' 2>/dev/null && echo $$name && break; done)
CHECKOUT := $(CURDIR)
BIN := $(CHECKOUT)/.venv/bin
# Installed for this pyproject.toml, in this place? Another of either is another stamp.
STAMP := .venv/ready-$(shell { cat pyproject.toml; pwd; } | cksum | tr ' ' '-')
MYPY := $(BIN)/mypy --strict --config-file "$(CHECKOUT)/pyproject.toml" --cache-dir "$(CHECKOUT)/.mypy_cache" --no-error-summary
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.PHONY: help demo docs test nightly torture lint types clean

help:
	@echo "make demo   run the example: invoices, mails, a kill -9 in the middle, and a table of what happened"
	@echo "make docs   build the documentation, to be read from site/index.html"
	@echo "make test   lint, types and all tests"
	@echo "make nightly, make torture   the tests of docs/reliability.md, for up to two hours and a day"
	@echo "make lint   lint and types only"
	@echo "make clean  remove everything that was made here"

demo: $(STAMP)
	@$(BIN)/python examples/orders/demo.py $(ARGS)

docs: $(STAMP)
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs site && echo "see site/index.html"

test: lint
	@$(BIN)/pytest -n 2 -q $(ARGS)

nightly: $(STAMP)
	@$(BIN)/python tests/plan.py N $(ARGS)

torture: $(STAMP)
	@$(BIN)/python tests/plan.py R $(ARGS)

lint: types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

# Of the package as it is installed, from a directory outside the checkout: the import names are made by the build.
types: $(STAMP)
	@work=$$(mktemp -d) && trap 'rm -rf "$$work" "$(CHECKOUT)/build"' EXIT && rm -rf build && \
	$(PIP) install --no-deps --target "$$work/site" . >.venv/build.log 2>&1 || { $(call complain,.venv/build.log); } && \
	export MYPYPATH="$$work/site" && cd "$$work" && $(MYPY) -p jobyard && cd "$(CHECKOUT)/examples/orders" && $(MYPY) . && \
	cd "$(CHECKOUT)/benchmarks" && MYPYPATH="$$MYPYPATH:$(CHECKOUT)/tests/integration" $(MYPY) .

clean:
	rm -rf .venv build dist .tox .mypy_cache .pytest_cache .ruff_cache .hypothesis demo-output site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP):
	@[ -n "$(PYTHON)" ] || { echo "error: there is no Python 3.11 or newer here" >&2; exit 1; }
	@$(PYTHON) -c '$(RECENT)' || { echo "error: $(PYTHON) is no Python 3.11 or newer" >&2; exit 1; }
	@echo "setting up .venv"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || \
	{ echo "error: $(PYTHON) cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PIP) install --editable '.[docs,examples,lint,test]' >.venv/setup.log 2>&1 || { $(call complain,.venv/setup.log); }
	@rm -f .venv/ready-* && touch $@

# pip's own errors, without the lines that only say where it looked.
complain = echo "error: pip could not install what is needed; all it said is in $(1)" >&2; \
	grep -i -e '^error' $(1) | grep -v -e '://' -e 'host=' >&2; exit 1
