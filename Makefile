# make demo   see it work, on this machine, with a real login provider and a real MCP server
# make test   lint, types, layers and the whole test suite
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test setup lint bench docs lock clean

demo: setup
	$(BIN)/mintage demo

test: lint
	$(BIN)/pytest -q -n 2 --dist loadgroup

setup: .venv/ready

.venv/ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

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

# Versions are locked with hashes and without any index's address; uv resolves for every platform at once.
lock:
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements/runtime.txt
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra demo --extra postgres --extra redis --group dev pyproject.toml requirements/build.in -o requirements/dev.txt

clean:
	rm -rf tests/conformance/node_modules .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
