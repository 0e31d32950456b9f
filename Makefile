# make demo        see it work, on this machine, with a real login provider and a real MCP server
# make test        lint, types, layers and the whole test suite
# make test-3.12   the whole test suite on another Python; make quick-3.12 the fast part of it
# make coverage    the fast part, and the share of the package's lines and branches that it runs
# make dist        wheel, sdist, list of components (SBOM) and licences, in dist/
# make lock        write the locks anew from pyproject.toml; make upgrade also takes the newest versions
# make docs        the documentation as a site of static pages, in build/site
# make newest      the integration and token tests with the newest versions that pyproject.toml admits
# make oldest      ... and with the lowest
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKS ?= requirements
# Processes for the tests. One more than two cores: a test that waits, for a server to start, for a
# fault to pass, leaves its core to another.
WORKERS ?= 3
# With this every process that a test starts would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

# A lock names every package, so pip has nothing to resolve: what comes out later changes nothing here.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps
LOCKED := $(PIP) --require-hashes --only-binary :all:

.PHONY: demo test quick coverage lint bench docs pages lock upgrade clean setup dist figures pictures newest oldest ranges

demo: $(VENV)/ready-demo
	@$(BIN)/python -m tools.foreground $(BIN)/mintage demo

test: lint
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup

# The same on another Python, in an environment of its own: where it is, tools/pythons.py finds out.
test-%:
	$(MAKE) VENV=.venv-$* PYTHON=$$($(PYTHON) -m tools.pythons $*) test

# A fast part: issuer, clients, vault, server, gateway and integrations, some minutes of it.
QUICK := tests/tokens tests/grant tests/config tests/clients tests/integrations \
  tests/vault/test_vault.py tests/vault/test_outage.py tests/vault/test_single_flight.py \
  tests/server/test_login.py tests/server/test_token_endpoint.py tests/server/test_bearer.py \
  tests/server/test_attacks_on_the_login.py tests/server/test_attacks_on_tokens.py \
  tests/server/test_attacks_on_the_server.py tests/server/test_outages.py tests/serving tests/performance \
  tests/gateway/test_proxy.py tests/gateway/test_headers.py tests/gateway/test_paths.py \
  tests/gateway/test_answers.py tests/gateway/test_mcp_rules.py tests/gateway/test_websocket.py \
  tests/gateway/test_commands.py --ignore tests/tokens/test_fuzz_guided.py

quick-%:
	$(MAKE) VENV=.venv-$* PYTHON=$$($(PYTHON) -m tools.pythons $*) quick

quick: $(VENV)/ready-test
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup $(QUICK)

# The same part, and how much of the package it runs: lines and branches.
coverage: $(VENV)/ready-test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(WORKERS) --dist loadgroup $(QUICK)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

setup: $(VENV)/ready-dev

# What is in the lock demo.txt is in dev.txt too, in the same version: one directory serves both.
$(VENV)/packages-%: $(LOCKS)/%.txt
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

dist: setup
	rm -rf dist
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(BIN)/python -m tools.dist dist

figures: setup
	$(BIN)/python -m tools.figures

# The environments of these two are not the locks': uv resolves what pyproject.toml admits today.
newest:
	$(MAKE) VENV=.venv-newest RESOLUTION=highest ranges
oldest:
	$(MAKE) VENV=.venv-oldest RESOLUTION=lowest-direct ranges

ranges:
	$(PYTHON) -m uv venv -q --allow-existing --python $(PYTHON) $(VENV)
	$(PYTHON) -m uv pip compile -q --resolution $(RESOLUTION) --upgrade --all-extras --group test --no-header \
	  pyproject.toml -o $(VENV)/versions.txt
	$(PYTHON) -m uv pip sync -q --python $(BIN)/python $(VENV)/versions.txt
	$(PYTHON) -m uv pip install -q --python $(BIN)/python --no-deps -e .
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup $(RANGES)

RANGES := tests/tokens tests/integrations tests/server/test_login.py tests/server/test_rotation.py tests/stores \
  tests/gateway/test_proxy.py tests/gateway/test_websocket.py tests/gateway/test_commands.py \
  tests/upstream/test_oidc.py tests/cli tests/end_to_end/test_demo.py --ignore tests/tokens/test_fuzz_guided.py

# The documentation as a site of static pages, in build/site.
docs: setup
	$(BIN)/python -m tools.docs_site

bench: setup
	$(BIN)/python -m benchmarks

# The pages that are made from the source: errors, the Python API, commands, endpoints, the rooms, settings.
pages: setup
	$(BIN)/python -m tests.docs.error_page
	$(BIN)/python -m tools.api
	$(BIN)/python -m tools.commands
	$(BIN)/python -m tools.http_api
	$(BIN)/python -m tools.kustomize
	$(BIN)/python -m tools.rooms
	$(BIN)/python -m tools.metric_table
	$(BIN)/python -m tools.settings
	$(BIN)/python -m tools.docs_site
	$(BIN)/pytest -q tests/docs

# The pictures in the documentation, taken of the pages as they are now, and made small.
PICTURED := tests/server/test_pages_in_a_browser.py tests/server/test_sites_in_a_browser.py \
  tests/server/test_remembered_consent_in_a_browser.py tests/server/test_device_in_a_browser.py tests/server/test_account.py tests/admin/test_the_page_in_a_browser.py

pictures: setup
	mkdir -p build/pictures docs/pictures
	MINTAGE_SCREENSHOTS=build/pictures $(BIN)/pytest -q $(PICTURED)
	MINTAGE_SCREENSHOTS=build/pictures $(BIN)/pytest -q tests/docs/test_site.py -k photographed
	$(BIN)/python -m tools.pictures

# Hashes, no index's address, extras written out; uv resolves for every platform at once.
# The other locks take their versions from dev.txt.
COMPILE := $(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header
SAME := $(COMPILE) -c requirements/dev.txt

lock:
	$(COMPILE) $(UPGRADE) --all-extras --group dev pyproject.toml requirements/build.in -o requirements/dev.txt
	$(SAME) --all-extras --group test pyproject.toml requirements/build.in -o requirements/test.txt
	$(SAME) --extra demo pyproject.toml requirements/build.in -o requirements/demo.txt
	$(SAME) --extra server --extra postgres --extra redis --extra metrics --extra otel pyproject.toml -o requirements/runtime.txt
	$(SAME) requirements/build.in -o requirements/build.txt

upgrade:
	$(MAKE) lock UPGRADE=--upgrade

clean:
	rm -rf tests/conformance/node_modules .venv* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
