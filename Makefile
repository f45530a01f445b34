# make run    set everything up and run the analysis in rehearsal: no account, no key, nothing leaves the machine
# make test   set everything up and run the tests
# make contract  the stand-ins and clients against parts that others wrote, which are fetched and built once
# make drill  faults by the hundred, in rehearsal: nothing is left behind
# make bench  the run beside its peers, the cold function, and what grows: figures without a verdict, bench.json
# make live   the analysis in real clouds, for at most a cent a run: make live CLOUD=aws, azure, azure-flex or gcp
# make check  formatting, lint, types, layers
# make lock   resolve the dependencies anew
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test contract drill bench live check lock clean

run: .venv/run-ready
	$(BIN)/python -m orchestrator run

# A process for each processor, up to four; a file's tests stay together, for they share what stands long.
test: .venv/test-ready
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

contract: .venv/test-ready
	$(BIN)/pytest tests/contract

# A fixed part of all faults, of every sort: docs/drill.md.
drill: .venv/run-ready
	$(BIN)/python -m orchestrator drill --sample 264

bench: .venv/test-ready
	$(BIN)/python -m tests.bench

# -s shows the run as it goes. Without CLOUD nothing runs: each cloud says what it takes.
live: .venv/test-ready
	$(BIN)/pytest tests/live -s -rs $(if $(CLOUD),--cloud=$(CLOUD))

check: .venv/test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One lock for what the program needs, one that adds what its tests need; each installs into the same environment.
# The libraries' bytecode is made here, once: each run is several processes, which would all compile them where Python may
# not write, or is told not to.
.venv/run-ready: requirements.lock pyproject.toml | .venv/uv-ready
	$(BIN)/uv pip install --quiet --python .venv --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python .venv --no-deps --editable .
	touch $@

.venv/test-ready: requirements-dev.lock .venv/run-ready
	$(BIN)/uv pip install --quiet --python .venv --compile-bytecode --require-hashes -r requirements-dev.lock
	touch $@

.venv/uv-ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11. Install a newer one, and name it: make PYTHON=python3.13 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$$(grep -o '^uv==[0-9.]*' requirements.lock)"
	touch $@

lock:
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra rehearsal -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	  --extra rehearsal --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  -o function_code/requirements.txt function_code/requirements.in
	for cloud in azure gcp; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	    -c function_code/requirements.txt \
	    -o function_code/requirements-$$cloud.txt function_code/requirements-$$cloud.in || exit 1; \
	done

clean:
	rm -rf .venv
