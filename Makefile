# Needs python3 (3.11 to 3.13) with venv, make and git; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: example test lint wheel-test clean

example: .venv/.examples
	$(BIN)/python scripts/forecast_sunspots.py

test: .venv/.test
	$(BIN)/python -m pytest tests

lint: .venv/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The wheel is built from a clean clone: a stale build/ would ship deleted modules. It goes into
# an environment of its own that holds nothing but what the wheel asks for, and is tried from a
# folder outside the checkout, where only the installed package can be imported.
wheel-test: .venv-wheel/.created
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	git clone --quiet . "$$work/clone"; \
	.venv-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir "$$work" "$$work/clone"; \
	.venv-wheel/bin/python -m pip uninstall --quiet --yes kerazoo; \
	.venv-wheel/bin/python -m pip install --quiet "$$work"/kerazoo-*.whl; \
	cp tests/wheel_smoke.py "$$work"; \
	cd "$$work" && "$(CURDIR)"/.venv-wheel/bin/python wheel_smoke.py kerazoo-*.whl

clean:
	rm -rf .venv .venv-wheel build dist *.egg-info

# One stamp an extra. They depend on what names the requirements, not on the interpreter,
# so that an interrupted installation is not taken for a finished one.
.venv/.examples .venv/.test: .venv/.%: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

# The linter needs none of the package's dependencies.
.venv/.lint: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet 'ruff==0.17.6'
	touch $@

.venv-wheel/.created: setup.cfg pyproject.toml
	rm -rf .venv-wheel
	$(PYTHON) -m venv .venv-wheel
	touch $@
