# make demo and make test need only Python 3.11+ and make: everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The length of a soak of one engine, in seconds: make soak SECONDS=36000.
SECONDS ?= 3600
SOAK_ENGINES ?= valkey-9 cluster path redis-8 valkey-8 redis-6.2

.PHONY: demo test long check docs format mirror reference bench soak clean

demo: $(READY)
	$(BIN)/redis-sessions demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n 4 --dist worksteal --ignore tests/faults
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/faults

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

soak: $(READY)
	failed=0; for engine in $(SOAK_ENGINES); do \
	  $(BIN)/python -m tests.soak --engine $$engine --seconds $(SECONDS) --report soak/$$engine.json || failed=1; \
	done; exit $$failed

long: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-sdks.txt
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore tests/faults -k "redis-8 or valkey-8"
	REDIS_SESSIONS_SOAK=1 $(BIN)/python -m pytest tests/faults tests/fleets tests/sessions/test_model.py tests/transcripts

clean:
	rm -rf $(VENV) dist site .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "redis_sessions needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' -r requirements-dev.txt
	touch $(READY)
