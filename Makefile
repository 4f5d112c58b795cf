# The front door: `make` lists what there is. Everything is set up on first use and nothing twice.

PYTHON  ?= python3
VENV    ?= .venv
SECONDS ?= 60

BIN    := $(VENV)/bin
SHELL  := /bin/sh
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
# The lock names no index and no mirror: where packages come from is the machine's business.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

ACCOUNT := $(BIN)/python -m pytest -q -s -m slow -o faulthandler_timeout=0 tests/process/accounting
# What the image has beside the base: whoever runs it cannot add to it.
EXTRAS  := email encryption fhir jwt kafka nats otel rabbitmq

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check bench tune fhir-coverage fhir-judge fuzz account soak docs site deploy-tools setup ext clean lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ext ## the demo, then the daemon on 127.0.0.1:8080 (stop it with Ctrl-C)
	@$(BIN)/fi-fhir demo
	@exec $(BIN)/fi-fhir serve

test: ext ## every test but the slow ones
	@$(BIN)/python -m pytest

check: ext ## format, lint, types, import floors, spelling, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint fifhir
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/site.py --check
	$(BIN)/python dashboards/grafana/make.py --check

bench: $(VENV)/.bench ## benchmarks beside other parsers and servers: a table and a chart
	@$(BIN)/python -m benchmarks

fhir-coverage: ext ## which rows of the HL7 v2-to-FHIR guide come true, segment by segment
	@$(BIN)/python -m tests.guide.report

fhir-judge: ext ## HAPI's validator with US Core over the bundles of the corpus (needs mvn and Java 17)
	@$(BIN)/python -m tests.fhir_judge.judge

tune: ext ## the curves of docs/tuning.md, on a machine that has nothing else to do
	@$(BIN)/python -m benchmarks.tuning

fuzz: ext ## both tokenizers on broken bytes under AddressSanitizer, SECONDS=60
	@PYTHON=$(CURDIR)/$(BIN)/python tests/fuzz/run $(SECONDS)

deploy-tools: $(VENV)/.deploy ## a Helm engine, Kubernetes schemas and hadolint for tests/deploy

brokers: build/kafka/.fetched ## a broker of Kafka for tests/queues, with Maven and Java 17

docs: ext ## write the parts of docs/ that follow from the code
	@$(BIN)/python docs/generate.py
	@$(BIN)/python dashboards/grafana/make.py

site: $(VENV)/.site ## the documentation as web pages in build/site, every link of them followed
	@$(BIN)/python docs/site.py

setup: ext ## .venv with the locked dependencies and the project in place
	@echo "ready: $(BIN)/fi-fhir"

ext: $(VENV)/.built ## the compiled modules, rebuilt when a source has changed

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f fifhir/*.so fifhir/*.c
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

account: ext ## is what was acknowledged kept? 20,000 messages and 20 kills, over both stores
	@$(ACCOUNT)

soak: ext ## the same with a million messages and 200 kills (ACCOUNT_MESSAGES, ACCOUNT_KILLS)
	@ACCOUNT_MESSAGES=$${ACCOUNT_MESSAGES:-1000000} ACCOUNT_KILLS=$${ACCOUNT_KILLS:-200} $(ACCOUNT)

lock: ## requirements/*.txt anew from pyproject.toml and requirements/*.in
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	$(COMPILE) --extra test --extra check -o requirements/dev.txt pyproject.toml requirements/build.in
	$(COMPILE) -c requirements/dev.txt -o requirements/run.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt $(EXTRAS:%=--extra %) -o requirements/image.txt pyproject.toml
	$(COMPILE) -c requirements/dev.txt -o requirements/build.txt requirements/build.in
	$(COMPILE) -o requirements/bench.txt requirements/bench.in
	$(COMPILE) -o requirements/fuzz.txt requirements/fuzz.in
	$(COMPILE) -c requirements/dev.txt -o requirements/deploy.txt requirements/deploy.in
	$(COMPILE) -c requirements/dev.txt -o requirements/site.txt requirements/site.in

# What a machine may lack, all of it in one answer and before anything is downloaded.
define PREFLIGHT
import sys
if sys.version_info < (3, 11):
    sys.exit("fi-fhir needs Python 3.11 or newer, and %s is %d.%d. Name another: make PYTHON=python3.12"
             % ((sys.executable,) + sys.version_info[:2]))
import importlib.util, os, shlex, shutil, sysconfig
compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
header = os.path.join(sysconfig.get_path("include"), "Python.h")
missing = []
if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
    missing.append("the venv module (Debian, Ubuntu: apt-get install python3-venv)")
if not shutil.which(compiler):
    missing.append("a C compiler, %s (Debian, Ubuntu: apt-get install gcc libc6-dev)" % compiler)
if not os.path.exists(header):
    missing.append("%s (Debian, Ubuntu: apt-get install python3-dev)" % header)
if missing:
    sys.exit("fi-fhir cannot be built with %s. Missing:\n  " % sys.executable + "\n  ".join(missing))
endef
export PREFLIGHT

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c "$$PREFLIGHT"
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.locked: requirements/dev.txt | $(BIN)/python
	@echo "installing what requirements/dev.txt locks"
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.built
	@echo "installing the peers that requirements/bench.txt locks"
	@$(INSTALL) --require-hashes -r requirements/bench.txt
	@touch $@

$(VENV)/.site: requirements/site.txt $(VENV)/.built
	@echo "installing what requirements/site.txt locks to build the site"
	@$(INSTALL) --require-hashes -r requirements/site.txt
	@touch $@

$(VENV)/.deploy: requirements/deploy.txt $(VENV)/.built
	@echo "installing the judges of deploy/ that requirements/deploy.txt locks"
	@$(INSTALL) --require-hashes -r requirements/deploy.txt
	@touch $@

build/kafka/.fetched: tests/peers/kafka/pom.xml
	@echo "fetching the Kafka that tests/peers/kafka/pom.xml names"
	@rm -rf build/kafka && mkdir -p build/kafka
	@mvn -q -B -f tests/peers/kafka/pom.xml dependency:copy-dependencies \
		-DoutputDirectory=$(CURDIR)/build/kafka -DincludeScope=runtime
	@touch $@

$(VENV)/.built: $(VENV)/.locked pyproject.toml setup.py $(wildcard fifhir/*.pyx fifhir/*.pxd fifhir/*.h)
	@echo "compiling the tokenizer"
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
