# Two commands set everything up on a fresh machine with Python 3.11 to 3.13 and make:
#   make demo    the main job on synthetic films
#   make test    every check, then the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make demo` needs, and the development tools besides.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

# One thread: two busy processes of two threads each crawl on two cores.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive

.PHONY: demo test test-slow check format docs system clean

demo: $(READY)
	$(BIN)/gdshare demo --out demo-out

# As many processes as cores; a module's tests stay together, since they share what it starts.
test: check
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: $(READY_DEV)
	$(BIN)/python -m pytest -m slow

check: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY_DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site, build/site: opens from the folder, without a server or the internet.
docs: $(READY_DEV)
	rm -rf build/site-pages
	$(BIN)/python -m docs.site.pages build/site-pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Debian packages that some tests want; needs root. Tests that miss one are skipped and say so.
# Orthanc and nginx are started by their tests alone: their packages would run them as services, now
# and after a boot.
ORTHANC := /usr/share/orthanc/plugins/libOrthancDicomWeb.so
POLICY := /usr/sbin/policy-rc.d
system:
	@command -v jq >/dev/null && command -v openssl >/dev/null && command -v chromium >/dev/null \
		&& command -v nginx >/dev/null && command -v nft >/dev/null && command -v ip >/dev/null \
		&& test -e $(ORTHANC) || ( \
		set -e; \
		test -e $(POLICY) || { \
			trap 'rm -f $(POLICY)' EXIT; printf '#!/bin/sh\nexit 101\n' >$(POLICY); chmod +x $(POLICY); }; \
		was=$$(command -v Orthanc || true); had=$$(command -v nginx || true); \
		apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			jq openssl chromium fonts-dejavu-core orthanc orthanc-dicomweb nginx nftables iproute2; \
		test -n "$$was" || update-rc.d orthanc disable; \
		test -n "$$had" || update-rc.d nginx disable )

INSTALL := $(BIN)/pip install --disable-pip-version-check --quiet --editable

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[all]'
	touch $@

# dev includes all: whoever has it needs nothing more for the demo.
$(READY_DEV): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) '.[dev]'
	touch $@ $(READY)

clean:
	rm -rf $(VENV) demo-out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
