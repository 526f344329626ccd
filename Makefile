# `make` lists the targets. Everything happens in this folder, except what `install` says.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PREFIX ?= /opt/safelight
# The system's own Python first: the service could not run one from a home.
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.11 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	{ echo "$$python"; break; }; done)

DATA ?= safelight-data
STAY ?= 1
export DICOM DATA STAY DESTDIR PREFIX

# Stops with a clear message unless PYTHON can make virtual environments.
define require_python
	python='$(PYTHON)'
	if [[ -z $$python ]]; then
	    echo "make: Safelight needs Python 3.11 or later: apt-get install python3 python3-venv," \
	        "or dnf install python3.11" >&2
	    exit 1
	fi
	if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then
	    package=$${python##*/}-venv
	    if [[ $$(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
	        echo "make: $$python lacks ensurepip; run: sudo apt-get install $$package" >&2
	        exit 1
	    fi
	    echo "Installing from Debian: $$package"
	    apt-get update -qq
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$$package" >/dev/null
	fi
endef

# Announces a program of the virtual environment, runs it, and says when it failed.
define step
	echo "== $(1)"
	$(VENV)/bin/$(1) || { echo "make: failed: $(1)" >&2; exit 1; }
endef

.PHONY: help
help:  ## List the targets.
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One stamp for each set of requirements; a changed pyproject.toml renews them.
$(VENV)/.demo $(VENV)/.test $(VENV)/.bench: $(VENV)/.%: pyproject.toml
	$(require_python)
	echo "Preparing a private environment in $(VENV) (a minute or two, once) ..."
	log=$$(mktemp)
	trap 'rm -f "$$log"' EXIT
	trap 'exit 130' INT
	{
	    { $(VENV)/bin/python -c 'import pip' || "$$python" -m venv --clear $(VENV); } &&
	        $(VENV)/bin/python -m pip install --editable '.[$*]'
	} >"$$log" 2>&1 || {
	    cat "$$log" >&2
	    echo "make: the private environment could not be prepared; see above" >&2
	    exit 1
	}
	version=$$($(VENV)/bin/python -c 'from safelight.version import __version__; print(__version__)')
	touch $@
	echo "Safelight $$version: private environment ready ($$SECONDS s)"

.PHONY: demo
demo: $(VENV)/.demo  ## Show it on real DICOM: [DICOM=folder] [DATA=folder] [STAY=0]
	options=(--data "$$DATA")
	[[ -z "$${DICOM:-}" ]] || options+=(--dicom "$$DICOM")
	[[ $$STAY != 0 ]] || options+=(--no-stay)
	exec $(VENV)/bin/safelight demo "$${options[@]}"

.PHONY: test
test: peers lint types imports unit  ## Everything below, on the peers Debian has (installed if allowed).
	echo "All passed."

.PHONY: peers
peers:
	.ci/peers

.PHONY: lint
lint: $(VENV)/.test  ## Check format and style.
	$(call step,ruff format --check)
	$(call step,ruff check)

.PHONY: types
types: $(VENV)/.test  ## Check types.
	$(call step,mypy)

.PHONY: imports
imports: $(VENV)/.test  ## Check that imports go one way.
	$(call step,lint-imports)

# Much of the time is waiting: two workers to a core. What takes longest, tests/acceptance, begins.
.PHONY: unit
unit: $(VENV)/.test  ## Run the tests: [ARGS="-k name"]
	$(call step,pytest --numprocesses $$((2 * $$(nproc))) --dist loadfile --no-loadscope-reorder $(ARGS))

.PHONY: crash
crash: $(VENV)/.test peers  ## Kill the receiver at every step of storing and 200 random moments (minutes).
	export SAFELIGHT_SWEEP=full
	$(call step,pytest tests/sweeps/test_crash_sweep.py)

.PHONY: fuzz
fuzz: $(VENV)/.test  ## Send the receiver 100,000 mutated PDUs in each state (half an hour).
	export SAFELIGHT_SWEEP=full
	$(call step,pytest tests/sweeps/test_pdu_fuzz.py)

$(VENV)/fuzz/bin/schemathesis: $(VENV)/.test
	"$(VENV)/bin/python" -m venv $(VENV)/fuzz
	$(VENV)/fuzz/bin/python -m pip install --quiet 'schemathesis>=4.32,<5'

.PHONY: fuzz-api
fuzz-api: $(VENV)/fuzz/bin/schemathesis  ## Ask the page what its OpenAPI description allows, and not (6 minutes).
	$(call step,pytest --timeout 1800 tests/web_status/test_api_fuzz.py)

.PHONY: page-hour
page-hour: $(VENV)/.test  ## Send an open page the 7,200 updates of an hour; it must not grow (minutes).
	export SAFELIGHT_SWEEP=full
	$(call step,pytest tests/web_status/test_browser_hour.py)

.PHONY: schedules
schedules: $(VENV)/.test  ## Deliver series in 1,000 orders to the watcher and compare what it closes (minutes).
	export SAFELIGHT_SWEEP=full
	$(call step,pytest --timeout 1800 tests/sweeps/test_schedules.py)

.PHONY: retrieve-sweep
retrieve-sweep: $(VENV)/.test  ## Retrieve 1,000 studies from an archive that loses, delays and lies (minutes).
	export SAFELIGHT_SWEEP=full
	$(call step,pytest tests/sweeps/test_retrieve_sweep.py)

.PHONY: bench-rebuild
bench-rebuild: $(VENV)/.test  ## Make the ledger of 50,000 instances again, and verify it: [ARGS=]
	$(call step,python -m benchmarks.rebuild $(ARGS))

.PHONY: bench-convert
bench-convert: $(VENV)/.test $(VENV)/.bench  ## Compare conversion with dcm2niix and dicom2nifti: [ARGS=]
	$(call step,python -m benchmarks.convert $(ARGS))

.PHONY: bench-metadata
bench-metadata: $(VENV)/.test  ## Write a workbook of 20,000 rows beside pandas and openpyxl: [ARGS=]
	$(call step,python -m benchmarks.metadata $(ARGS))

.PHONY: review-qc
review-qc: $(VENV)/.test  ## Say what quality control flags in the test data: [ARGS="FOLDER --all"]
	$(call step,python -m benchmarks.qc $(ARGS))

.PHONY: bench-mr-clean
bench-mr-clean: $(VENV)/.test  ## Compare MR normalisation with labels, and time it: [ARGS=]
	$(call step,python -m benchmarks.mr_clean $(ARGS))

.PHONY: bench-receive
bench-receive: $(VENV)/.test peers  ## Compare receiving with other programs (20 minutes): [ARGS=--quick]
	$(call step,python -m benchmarks.receive $(ARGS))

.PHONY: bench-retrieve
bench-retrieve: $(VENV)/.test peers  ## Retrieve studies from Orthanc, beside movescu (10 minutes): [ARGS=]
	$(call step,python -m benchmarks.retrieve $(ARGS))

.PHONY: bench-viewer
bench-viewer: $(VENV)/.test peers  ## Open and scroll a CT of 400 slices, beside Orthanc (2 minutes): [ARGS=]
	$(call step,python -m benchmarks.viewer $(ARGS))

.PHONY: bench-pages
bench-pages: $(VENV)/.test  ## Ask for pages over a ledger of 100,000 studies (3 minutes): [ARGS=]
	$(call step,python -m benchmarks.pages $(ARGS))

.PHONY: bench-dask
bench-dask: $(VENV)/.test  ## Run empty jobs here and on a Dask cluster, from long queues (8 minutes): [ARGS=]
	$(call step,python -m benchmarks.dask $(ARGS))

.PHONY: bench-verify
bench-verify: $(VENV)/.test $(VENV)/.bench  ## Verify what converters write, into docs/conversion.md (minutes): [ARGS=]
	$(call step,python -m benchmarks.verify $(ARGS))

.PHONY: install-test
install-test: $(VENV)/.test  ## Install into a temporary folder and remove it again (minutes).
	export SAFELIGHT_TEST_INSTALL=1
	$(call step,pytest tests/systemd/test_installation.py)

.PHONY: systemd-test
systemd-test: $(VENV)/.test  ## Boot a Debian with the service, break it in every way, as root (15 minutes).
	[[ $$(id -u) == 0 ]] || { echo "make systemd-test: must be run as root: sudo make systemd-test" >&2; exit 1; }
	for program in debootstrap systemd-nspawn storescu; do
	    command -v $$program >/dev/null && continue
	    echo "make systemd-test: $$program is missing: apt-get install debootstrap systemd-container dcmtk" >&2
	    exit 1
	done
	export SAFELIGHT_TEST_SYSTEMD=1
	$(call step,pytest --timeout 900 tests/systemd/test_booted.py $(ARGS))

.PHONY: install
install:  ## Install as a service, as root: [PREFIX=/opt/safelight] [DESTDIR=] [PYTHON=] [EXTRAS=dask]
	$(require_python)
	PYTHON=$$python EXTRAS=$(EXTRAS) exec systemd/install.sh

.PHONY: uninstall
uninstall:  ## Remove the service; configuration and data stay.
	exec systemd/uninstall.sh
