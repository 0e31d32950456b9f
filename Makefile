# make demo        see it work, on this machine, with a real login provider and a real MCP server
# make test        lint, types, layers and the whole test suite
# make test-3.12   the whole test suite on another Python; make quick-3.12 the fast part of it
# make dist        wheel, sdist, list of components (SBOM) and licences, in dist/
# make lock        write the locks anew from pyproject.toml; make upgrade also takes the newest versions
# make newest      the integration and token tests with the newest versions that pyproject.toml admits
# make oldest      ... and with the lowest
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# A lock names every package, so pip has nothing to resolve: what comes out later changes nothing here.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps
LOCKED := $(PIP) --require-hashes --only-binary :all:

.PHONY: demo test lint bench docs lock upgrade clean setup

demo: $(VENV)/ready-demo
	$(BIN)/mintage demo

test: lint
	$(BIN)/pytest -q -n 2 --dist loadgroup

setup: $(VENV)/ready-dev

# What is in the lock demo.txt is in dev.txt too, in the same version: one directory serves both.
$(VENV)/packages-%: requirements/%.txt
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) -r $<
	touch $@

$(VENV)/ready-%: $(VENV)/packages-% pyproject.toml src/mintage/__init__.py
	$(PIP) --no-build-isolation -e .
	touch $@

.PRECIOUS: $(VENV)/packages-% $(VENV)/ready-%

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

docs: setup
	$(BIN)/python -m tests.docs.error_page
	$(BIN)/pytest -q tests/docs

# Hashes, no index's address, extras written out; uv resolves for every platform at once.
# The other locks take their versions from dev.txt.
COMPILE := $(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header
SAME := $(COMPILE) -c requirements/dev.txt

lock:
	$(COMPILE) $(UPGRADE) --all-extras --group dev pyproject.toml requirements/build.in -o requirements/dev.txt
	$(SAME) --all-extras --group test pyproject.toml requirements/build.in -o requirements/test.txt
	$(SAME) --extra demo pyproject.toml requirements/build.in -o requirements/demo.txt
	$(SAME) --extra server --extra postgres --extra redis pyproject.toml -o requirements/runtime.txt
	$(SAME) requirements/build.in -o requirements/build.txt

upgrade:
	$(MAKE) lock UPGRADE=--upgrade

clean:
	rm -rf tests/conformance/node_modules .venv* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
