# Needs GNU make 4.3, bash, and Python 3.11, 3.12 or 3.13 with its venv module. `make` lists the targets.

# Which Python makes the environment, where it goes, and how much is in it (core|tfx|pytorch|all).
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= all
# Passed on: `make test ARGS="-k contract"`, `make demo ARGS=--help`.
ARGS   ?=
# Which benchmarks to run.
BENCH  ?= check release

BIN := $(VENV)/bin

# Without cached bytecode the frameworks take more than twice as long to import, every time.
unexport PYTHONDONTWRITEBYTECODE

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint agreement bench clean lock test-tools dev-tools

help: ## list the targets
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18
	echo "  variables: PYTHON=$(PYTHON) VENV=$(VENV) EXTRAS=$(EXTRAS) (core, tfx, pytorch or all)"

# Prints the lane (a set of locks) that fits this machine, or stops with one line. It stays within
# what an old Python can parse, so that an old Python is told so.
define LANE_CHECK
import os, platform, shutil, sys

venv, extras = sys.argv[1:]
version = "%d.%d" % sys.version_info[:2]
lane = {"3.11": "portable", "3.12": "official", "3.13": "official"}.get(version)

def stop(why):
    sys.exit("assay: " + why)

if lane is None:
    stop("Python 3.11, 3.12 or 3.13 is needed, this is %s; name one, as in PYTHON=python3.11" % version)

import sysconfig
from importlib.util import find_spec

libc, glibc = platform.libc_ver()
recent = libc == "glibc" and tuple(map(int, glibc.split(".")[:2])) >= (2, 39)
if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
    stop("the locks cover Linux on x86_64 only; elsewhere use `pip install .` for the core")
if extras not in ("core", "tfx", "pytorch", "all"):
    stop("EXTRAS is core, tfx, pytorch or all, not '%s'" % extras)
if not (find_spec("venv") and find_spec("ensurepip")):
    stop("this Python has no venv module; on Debian: apt-get install python3-venv")
if extras in ("tfx", "all"):
    if lane == "official" and not recent:
        stop("TFX on Python %s needs glibc 2.39, here is %s; use Python 3.11, or EXTRAS=pytorch or core"
             % (version, glibc or "none"))
    # pyfarmhash comes as source.
    if not (shutil.which("c++") or shutil.which("g++")):
        stop("TFX needs a C++ compiler; on Debian: apt-get install g++")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        stop("TFX needs Python's headers; on Debian: apt-get install python3-dev")
if os.path.exists(venv):
    if not os.path.exists(os.path.join(venv, "pyvenv.cfg")):
        stop("VENV=%s exists and is not a virtual environment" % venv)
    if not os.path.isdir(os.path.join(venv, "lib", "python" + version)):
        stop("%s was made with another Python than %s; `make clean`, or VENV=elsewhere" % (venv, version))
print(lane)
endef
export LANE_CHECK

# Two stamps in the environment say what it holds: the locks it was synced to, and the project
# metadata (version, entry points) that was installed for which checkout.
setup: ## make the environment, or bring it up to date; quick when nothing changed
	@command -v $(PYTHON) > /dev/null || { echo "assay: there is no $(PYTHON); name Python 3.11, 3.12 or 3.13, as in PYTHON=/path/to/python3.11" >&2; exit 1; }
	lane=$$($(PYTHON) -c "$$LANE_CHECK" "$(VENV)" $(EXTRAS))
	lock=locks/$$lane-$(EXTRAS).txt
	synced="$$lock $$(cat $$lock locks/uv.txt locks/torch.txt | sha256sum)"
	installed="$(CURDIR) $$(sha256sum < pyproject.toml)"
	quiet=--quiet; [ ! -t 2 ] || quiet=
	if [ "$$(cat $(VENV)/.assay-synced 2>/dev/null)" != "$$synced" ]; then
	    rm -f $(VENV)/.assay-*
	    echo "assay: making $(VENV) ($$lane lane, $$($(PYTHON) --version))"
	    $(PYTHON) -m venv $(VENV)
	    $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r locks/uv.txt
	    # uv does not read pip's configuration: hand it pip's index and certificate.
	    pip_config() { $(BIN)/python -m pip config list | sed -nE "s/^(global|:env:)\.$$1='(.*)'$$/\2/p" | tail -1; }
	    index=$$(pip_config index-url); [ -z "$$index" ] || export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"
	    cert=$$(pip_config cert); [ -z "$$cert" ] || export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$cert}"
	    echo "assay: installing $$(grep -c == $$lock) packages, pinned in $$lock (minutes on a first run)"
	    # The few source packages are built with the lock's own setuptools.
	    $(BIN)/uv pip sync $$quiet --python $(BIN)/python --require-hashes --build-constraints $$lock $$lock
	    case $(EXTRAS) in pytorch|all)
	        echo "assay: installing $$(grep ^torch locks/torch.txt) from pip's own index or wheel folder"
	        $(BIN)/python -m pip install --disable-pip-version-check $$quiet -r locks/torch.txt;;
	    esac
	    echo "$$synced" > $(VENV)/.assay-synced
	fi
	if [ "$$(cat $(VENV)/.assay-installed 2>/dev/null)" != "$$installed" ]; then
	    echo "assay: installing assay itself, editable"
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	    echo "$$installed" > $(VENV)/.assay-installed
	    echo "assay: $(VENV) is ready"
	fi

demo: setup ## take real data through both stacks and write a report
	@echo "assay: running the demo (minutes; frameworks start slowly)"
	$(BIN)/assay demo $(ARGS)

test: dev-tools test-tools ## run the tests
	@echo "assay: running the tests, two files at a time"
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: dev-tools ## check style, types and the direction of imports
	@echo "assay: ruff"
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	echo "assay: mypy"
	$(BIN)/mypy
	echo "assay: import-linter"
	$(BIN)/lint-imports

# A random five thousand; CI takes the same five hundred each time.
agreement: dev-tools ## hold every engine against the referee on 5,000 generated cases
	@echo "assay: asking every engine (about half an hour)"
	ASSAY_AGREEMENT_CASES=5000 $(BIN)/pytest tests/agreement $(ARGS)

bench: dev-tools ## time `assay check` and the referee beside their peers (BENCH=check or release for one)
	@for name in $(BENCH); do
	    echo "assay: running the $$name benchmark (up to half an hour; leave the machine alone meanwhile)"
	    $(BIN)/python -m benchmarks.$$name $(ARGS)
	done

dev-tools: setup
	@[ -x $(BIN)/pytest ] || { echo "assay: tests and linters come with EXTRAS=all only" >&2; exit 1; }

# Two programs that tests use and pip cannot bring: a browser, and strace to see every connection.
test-tools:
	@missing() { for tool in chromium strace; do command -v $$tool > /dev/null || echo $$tool; done; }
	[ -n "$$(missing)" ] || exit 0
	if [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian$$' /etc/os-release; then
	    echo "assay: installing Debian's" $$(missing) "for the tests"
	    export DEBIAN_FRONTEND=noninteractive
	    { apt-get update && apt-get install --yes --no-install-recommends $$(missing); } > /dev/null || true
	fi
	[ -z "$$(missing)" ] || echo "assay: these tests will fail for want of" $$(missing) "; on Debian: apt-get install" $$(missing) >&2

clean: ## remove the environment, caches and build products; run data stays
	@if [ -f $(VENV)/pyvenv.cfg ]; then rm -rf $(VENV); fi
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Pins move only when pyproject.toml or an overrides file asks for it, or with UPGRADE=--upgrade.
# `all` is solved first; the smaller profiles are held to its versions.
lock: ## solve locks/ again from pyproject.toml (UPGRADE=--upgrade moves every pin)
	@[ -x $(BIN)/uv ] || { $(PYTHON) -m venv $(VENV); $(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r locks/uv.txt; }
	compile() {
	    echo "assay: solving $$1"
	    $(BIN)/uv pip compile --quiet --generate-hashes --custom-compile-command "make lock" $(UPGRADE) --output-file locks/$$1 "$${@:2}"
	}
	compile uv.txt --group pyproject.toml:uv --universal --python-version 3.11
	project="pyproject.toml --group build --override locks/overrides-torch.txt"
	torch="--group torch-dependencies"
	for lane in portable official; do
	    case $$lane in
	    portable) target="--python-version 3.11 --python-platform x86_64-manylinux_2_28 --override locks/overrides-portable.txt";;
	    official) target="--python-version 3.12 --universal";;
	    esac
	    compile $$lane-all.txt $$project $$target $$torch --all-extras
	    held="--constraint locks/$$lane-all.txt"
	    compile $$lane-core.txt $$project $$target $$held
	    compile $$lane-tfx.txt $$project $$target $$held --extra tfx
	    compile $$lane-pytorch.txt $$project $$target $$held --extra pytorch $$torch
	done
