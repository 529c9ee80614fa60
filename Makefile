# Two commands: `make run` sets everything up and runs the lab; `make test` sets everything up and runs every check.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 1688
STAMP  := $(VENV)/.installed
DEVSTAMP := $(VENV)/.installed-dev
KRBSTAMP := $(VENV)/.installed-gssapi
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat

.PHONY: run test setup dev kerberos lint types check coverage floor fuzz differential bench trials docs man completion pictures site deb try-debian clean

run: setup
	@$(BIN)/twistd -n --pidfile= kms --port=$(PORT)

# The types are checked while the tests run; what they come to stands at the end. Six at a time, for tests wait for servers
# half of the time.
test: dev lint
	@found=$$(mktemp) && { $(BIN)/mypy >$$found 2>&1 & } && \
	  { $(if $(AFTER_FLOOR),KMSTWIST_TESTED="$(AFTER_FLOOR)") $(BIN)/python -m pytest -n 6 --dist loadgroup $(PYTEST_ARGS); tests=$$?; \
	  wait $$!; types=$$?; cat $$found; rm -f $$found; [ $$tests = 0 ] && [ $$types = 0 ]; }

setup: $(STAMP)
dev: $(DEVSTAMP) kerberos

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "kmstwist needs Python 3.11 or later; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "this Python cannot make virtual environments. Cure: apt-get install python3-venv"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml setup.cfg
	@echo "Installing kmstwist and the libraries it needs into $(VENV); the first time this takes half a minute ..."
	@$(PIP) --editable .
	@echo "Installed."
	@touch $@

# Which is all that `make run` needs, too.
$(DEVSTAMP): $(BIN)/python pyproject.toml setup.cfg
	@echo "Installing kmstwist and what the tests and checks need; the first time this takes a minute ..."
	@$(PIP) --editable '.[dev]'
	@touch $(STAMP) $@

# The extra that has to be built, where what it is built with is there; in a third of the time without optimising.
EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["gssapi"])
kerberos: $(DEVSTAMP)
	@if ! [ $(KRBSTAMP) -nt $(DEVSTAMP) ] && command -v krb5-config >/dev/null && command -v cc >/dev/null; then \
	  CFLAGS="-O0 -g0" $(PIP) "$$($(BIN)/python -c '$(EXTRA)')" || \
	    echo "the extra gssapi could not be built: no tests of Kerberos"; \
	  touch $(KRBSTAMP); fi

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

fuzz: dev
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python fuzz/run.py --seconds $${FUZZ_SECONDS:-600}

differential: dev
	$(BIN)/python -m tests.differential --seed $${SEED:-1} --count $${COUNT:-10000}

docs: dev
	$(BIN)/python -m kmstwist.cli.reference docs

# The documentation as a site, in build/site. The library for its diagrams comes from the npm registry, where npm is.
site: dev
	$(PIP) --editable '.[site]'
	@mkdir -p build/mermaid && if command -v npm >/dev/null; then cd build/mermaid && \
	  test -d package || { npm pack --silent mermaid@11 >/dev/null && tar xzf mermaid-*.tgz; }; \
	  else echo "npm is not installed: the diagrams stay as text"; fi
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

# Branch coverage by all tests, and the floor that the rooms in packaging/coverage_floor.py keep.
coverage: dev
	$(BIN)/python -m pytest -n 3 --dist loadgroup --cov=kmstwist --cov-branch --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --skip-covered
	$(BIN)/python packaging/coverage_floor.py

# The pictures in the documentation, taken of the status site with Debian's Chromium.
pictures: dev
	$(BIN)/python -m tests.web.screenshots docs/pictures

# The floor, kept by each room's own tests, without the long ones.
OWN := rpc kms conversation gateway audit
floor: dev
	$(BIN)/python -m pytest -q -n 4 --dist loadgroup -m "not long" $(OWN:%=--cov=kmstwist.%) --cov-branch --cov-report= $(OWN:%=tests/%)
	$(BIN)/python packaging/coverage_floor.py $(OWN)

man: dev
	$(BIN)/python -m kmstwist.cli.manpages man

# What shells read to complete kmstwist.
completion: dev
	$(BIN)/python -m kmstwist.cli.completion etc/completion

deb:
	packaging/deb/build --out dist

# A signed repository with packages for Debian 12 and 13, each built in a clean system: packaging/deb/release --help
.PHONY: apt-repo
apt-repo:
	packaging/deb/release

try-debian:
	packaging/deb/try-on-debian

bench: dev
	$(PIP) --editable '.[bench]'
	$(BIN)/python -m benchmarks

# What docs/promises.md says, tried for half an hour: kills, clocks, floods, a soak.
trials: dev
	$(BIN)/python -m trials --minutes $${MINUTES:-30} $(TRIALS)

clean:
	rm -rf $(VENV) build dist *.egg-info
