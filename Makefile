# make run: the demo.  make test: lint, types and tests.  Both make .venv and install first, when that has not been done.
PYTHON ?= python3
BIN := .venv/bin

run: .venv/installed
	$(BIN)/python train.py

test: .venv/installed check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed                # minutes of training
	$(BIN)/python -m pytest -m "slow and not faults and not cluster"

test-cluster: .venv/installed             # on SLURM, Ray and PostgreSQL of this machine, as root: docs/cluster.md
	$(BIN)/python -m pip install --quiet --editable '.[slurm,ray]'
	$(BIN)/python -m pytest -m cluster -v

faults: .venv/installed                   # kills, full disks, lost databases: docs/reliability.md
	$(BIN)/python -m pytest -m faults -v

bench: .venv/installed                    # speed beside the bare loop and the script by hand: docs/performance.md
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/commands.py
	$(BIN)/python benchmarks/scaling.py images

soak: .venv/installed                     # 500 trials in one call: memory and time for each
	$(BIN)/python benchmarks/soak.py

audit:                                    # known weaknesses of what constraints.txt names; what cannot be looked up fails
	$(PYTHON) -m venv .audit && .audit/bin/python -m pip install --quiet pip-audit
	.audit/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

coverage verdicts: .venv/installed        # how often intervals hold, and verdicts err: tables of docs/evidence.md
	$(BIN)/python benchmarks/$@.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,chest-ct]'
	touch $@

.PHONY: run test test-slow test-cluster faults bench soak audit check coverage verdicts
