# sipconf: every command a newcomer needs. `make run` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CONFIG ?= config/conferences.toml
export PYTHONUNBUFFERED = 1

.PHONY: run test lint bench sound soak days fuzz prompts lock clients clean

run: $(VENV)/run.stamp
	$(BIN)/sipconf serve --config $(CONFIG)

test: $(VENV)/test.stamp clients lint
	sh tools/run_tests.sh $(BIN)/pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check sipconf tests benchmarks assets

bench: $(VENV)/run.stamp
	$(BIN)/python -m benchmarks.harness

# How it sounds on bad networks, by PESQ and STOI: writes docs/sound.md and its pictures. Needs a C compiler, for pesq.
sound: $(VENV)/sound.stamp
	$(BIN)/python -m benchmarks.sound $(SOUND)

# Ten thousand calls with short timers, then twenty minutes of calls with sound: is everything as it was before?
soak: $(VENV)/run.stamp
	$(BIN)/python -m benchmarks.soak --calls 10000
	$(BIN)/python -m benchmarks.soak

# A thousand simulated days on a bad network, by seed; `make test` has the first of them.
days: $(VENV)/test.stamp
	SIPCONF_DAYS=1000 $(BIN)/pytest -q tests/scenarios/test_random_days.py

# Long runs: make fuzz FUZZ="--seconds 600"; what else FUZZ may say stands in tests/fuzz/__main__.py.
fuzz: $(VENV)/test.stamp
	$(BIN)/python -m tests.fuzz $(FUZZ)

prompts: $(VENV)/run.stamp
	$(BIN)/python assets/make_prompts.py

# The real telephones and the browser of the tests; without root a test that needs one says so in the summary.
clients:
	sh tools/install_clients.sh

$(VENV)/python.stamp:
	sh tools/make_venv.sh $(PYTHON) $(VENV)
	touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp requirements/run.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp requirements/test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	touch $@

$(VENV)/sound.stamp: $(VENV)/run.stamp requirements/sound-build.lock requirements/sound.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sound-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --use-pep517 --no-build-isolation \
	  -r requirements/sound.lock
	touch $@

# After editing the dependencies in pyproject.toml (needs uv).
lock:
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -q -o requirements/run.lock
	uv pip compile pyproject.toml --group build --group test --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -q -o requirements/test.lock
	uv pip compile pyproject.toml --group sound-build --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -q -o requirements/sound-build.lock
	uv pip compile pyproject.toml --group sound --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -q -o requirements/sound.lock

clean:
	rm -rf $(VENV) build *.egg-info .ruff_cache tests/browsers/node_modules
