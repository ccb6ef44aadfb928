# make demo and make test need only Python 3.11+ and make: everything else is installed into .venv.
# PINNED=no takes the newest versions, for a Python or a package index that lacks a pinned one.
PYTHON ?= python3
PINNED ?= yes
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRAMEWORKS := .venv-integrations
BROWSER := .venv-browser
# A browser for tests/browser, such as CHROMIUM=/opt/google/chrome/chrome.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser)

# The length of a soak of one engine, in seconds: make soak SECONDS=36000.
SECONDS ?= 3600
SOAK_ENGINES ?= valkey-9 cluster path redis-8 valkey-8 redis-6.2

.PHONY: demo test integrations browser long check docs format mirror reference bench soak dist clean

demo: $(READY)
	$(BIN)/redis-sessions demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n 4 --dist worksteal --ignore tests/faults --ignore tests/integrations --ignore tests/browser
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/faults
	$(MAKE) integrations
ifeq ($(CHROMIUM),)
	@echo "tests/browser did not run, because no Chromium was found: install it (apt-get install chromium), then make browser"
else
	$(MAKE) browser
endif

# The frameworks need far more packages than the library, so they have an environment of their own.
integrations: $(FRAMEWORKS)/.ready
	$(FRAMEWORKS)/bin/python -m pytest -n 2 --dist worksteal tests/integrations

# The tests of the dashboard in a browser. One fleet serves all of them, so they run one after the other.
ifeq ($(CHROMIUM),)
browser:
	$(error make browser needs Chromium: install it (apt-get install chromium), or say where it is with CHROMIUM=/path/to/chrome)
else
browser: $(BROWSER)/.ready
	CHROMIUM=$(CHROMIUM) $(BROWSER)/bin/python -m pytest tests/browser
endif

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tools/mirror.py --check
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/house/test_scripts.py tests/house/test_layers.py tests/house/test_prose.py

docs: $(READY)
	$(BIN)/python tools/write_reference.py --check
	$(BIN)/mkdocs build --strict

format: $(READY) mirror reference
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

mirror: $(READY)
	$(BIN)/python tools/mirror.py

reference: $(READY)
	$(BIN)/python tools/write_reference.py

bench: $(READY)
	$(BIN)/python -m benchmarks.run --json bench.json
	$(BIN)/python -m benchmarks.worst_case --json worst_case.json

soak: $(READY)
	failed=0; for engine in $(SOAK_ENGINES); do \
	  $(BIN)/python -m tests.soak --engine $$engine --seconds $(SECONDS) --report soak/$$engine.json || failed=1; \
	done; exit $$failed

long: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-sdks.txt
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/faults --ignore tests/integrations --ignore tests/browser -k "redis-8 or valkey-8"
	REDIS_SESSIONS_SOAK=1 $(BIN)/python -m pytest tests/faults tests/fleets tests/sessions/test_model.py tests/transcripts

clean:
	rm -rf $(VENV) $(FRAMEWORKS) $(BROWSER) dist build site .mypy_cache .ruff_cache .hypothesis

# The sdist, the wheel, and a list of what an installation of the wheel with all extras consists of (CycloneDX).
dist:
	rm -rf dist build/tools build/installed
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dist.txt
	build/tools/bin/python -m build --no-isolation
	sed -n 's/^\([a-z0-9._-]*==[^ ]*\) .*/\1/p' requirements-dev.txt > build/constraints.txt
	$(PYTHON) -m venv --without-pip build/installed
	build/tools/bin/python -m pip --python build/installed/bin/python install --quiet --disable-pip-version-check \
		--constraint build/constraints.txt "$$(ls dist/*.whl)[all]"
	build/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
		--output-file dist/sbom.cdx.json build/installed/bin/python

$(READY): pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "redis_sessions needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(PINNED),yes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.in -e '.[all]'
endif
	touch $(READY)

$(FRAMEWORKS)/.ready: $(READY) requirements-integrations.txt
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-integrations.txt -e '.[embedded,cli,fake]'
	touch $@

$(BROWSER)/.ready: $(READY) requirements-browser.txt
	$(PYTHON) -m venv $(BROWSER)
	$(BROWSER)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt -e '.[embedded,cli,fake,dashboard]'
	touch $@
