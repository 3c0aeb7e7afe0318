# Needs python3 (3.11 to 3.13) with venv, make and git; everything else goes into .venv*.
PYTHON ?= python3
BIN := .venv/bin

TEST_TOOLS := 'matplotlib>=3.8' 'pytest>=8.0' 'pytest-xdist>=3.6' 'scikit-learn>=1.5' 'scipy>=1.13'

# What runs on every Keras backend, and on the oldest Keras and TensorFlow.
EVERYWHERE := tests/layers tests/losses tests/initializers
BACKENDS := $(EVERYWHERE) tests/test_promises.py tests/test_backends.py tests/test_layer_calls.py \
	tests/models/test_ready_networks.py tests/models/test_residual_network.py \
	tests/models/test_seed_report.py

.PHONY: example test test-all test-backends test-oldest lint wheel-test clean

example: .venv/.examples
	$(BIN)/python scripts/forecast_sunspots.py

# The fast tests; `make test-all` runs the slow ones too.
test: .venv/.test
	$(BIN)/python -m pytest tests -m "not slow"

test-all: .venv/.test
	$(BIN)/python -m pytest tests

# JAX and PyTorch, in an environment without TensorFlow. The slow tests run on TensorFlow and JAX:
# all that `.ci/run` calls must end within forty minutes.
test-backends: .venv-backends/.created
	KERAS_BACKEND=jax .venv-backends/bin/python -m pytest $(BACKENDS)
	KERAS_BACKEND=torch .venv-backends/bin/python -m pytest $(BACKENDS) -m "not slow"

test-oldest: .venv-oldest/.created
	.venv-oldest/bin/python -m pytest $(EVERYWHERE) -m "not slow"

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
	rm -rf .venv .venv-* build dist *.egg-info

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

# Any build of torch will do; where pip is shown the builds for CPUs alone it takes a small one.
.venv-backends/.created: setup.cfg pyproject.toml Makefile
	rm -rf .venv-backends
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install --quiet 'keras>=3.15' 'jax>=0.9' 'torch==2.13.0' $(TEST_TOOLS)
	.venv-backends/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# The lower bounds of setup.cfg; TensorFlow 2.19 has no wheels for Python 3.13.
.venv-oldest/.created: setup.cfg pyproject.toml Makefile
	rm -rf .venv-oldest
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet 'keras==3.10.0' \
		'tensorflow==2.19.1; python_version < "3.13"' \
		'tensorflow==2.20.0; python_version >= "3.13"' $(TEST_TOOLS)
	.venv-oldest/bin/python -m pip install --quiet --no-deps --editable .
	touch $@
