# Everything a checkout can do. `make help` lists it; ARGS='…' is passed on.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
INSTALL := $(PYTHON) scripts/install.py
NEEDS_PYTHON := command -v $(PYTHON) >/dev/null \
	|| { echo "grantlog: there is no $(PYTHON): name one with make PYTHON=…" >&2; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "grantlog: needs Python 3.11 or newer, $(PYTHON) is older: name another one with make PYTHON=…" >&2; exit 1; }

.PHONY: help serve test test-faults check fix proto bench kafka clean runtime dev
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: runtime ## serve on this machine: make serve ARGS='--http-port 4000 --data-dir /somewhere'
	@exec $(BIN)/grantlog serve $(ARGS)

test: dev ## run all tests: make test ARGS='tests/unit -k token'
	@$(INSTALL) clients node grpcurl kafka deploy
	@exec $(BIN)/python -m pytest $(ARGS)

test-faults: dev ## kill, stop and cut off real processes under load: about 12 minutes
	@$(INSTALL) kafka
	@exec $(BIN)/python -m pytest tests/faults $(ARGS)

check: dev ## format, lint, types, import contracts, generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/gen_proto.py --check
	$(BIN)/python scripts/gen_settings_docs.py --check
	$(BIN)/python scripts/gen_error_docs.py --check

fix: dev ## format, fix what the linter can fix, write the generated tables of docs/
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/python scripts/gen_settings_docs.py
	$(BIN)/python scripts/gen_error_docs.py

proto: dev ## generate src/grantlog/{api,event,ring,watch} from proto/
	$(BIN)/python scripts/gen_proto.py

bench: dev ## measure: make bench ARGS='--help'
	@exec $(BIN)/python benchmarks/run.py $(ARGS)

kafka: ## run Apache Kafka here: make kafka ARGS='--data-dir /tmp/kafka --port 9092'
	@$(NEEDS_PYTHON)
	@$(INSTALL) --must kafka
	@exec $(PYTHON) scripts/kafka/run.py $(ARGS)

clean: ## remove what make made; never data
	rm -rf .venv .venv-clients .venv-deploy .make tests/e2e/node/node_modules tests/e2e/grpcurl/bin build dist
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime dev:
	@$(NEEDS_PYTHON)
	@$(INSTALL) $@
