PYTHON ?= python3
RUN = $(PYTHON) scripts/bootstrap.py
# One BLAS thread a process: the tests and benchmarks run side by side.
export OMP_NUM_THREADS ?= 1

.PHONY: demo up test test-slow lint bench lock
demo:  ## build the sandbox world, backfill everything, trade today's batch
	@$(RUN) pas demo
up:  ## the Dagster UI on the same data
	@$(RUN) pas up
test:  ## the tests, in parallel
	@$(RUN) --group dev pytest -n 2 --dist loadgroup -m "not slow"
test-slow:  ## those that take minutes
	@$(RUN) --group dev pytest -n 2 --dist loadgroup -m slow
lint:  ## linter, formatter, type checker, import rule
	@$(RUN) --group dev ruff check .
	@$(RUN) --group dev ruff format --check .
	@$(RUN) --group dev ty check pas_dagster
	@$(RUN) --group dev lint-imports
bench:  ## the comparisons of docs/benchmarks.md
	@$(RUN) --group bench python -m benchmarks.allocation
	@$(RUN) --group bench python -m benchmarks.statistics
	@$(RUN) --group bench python -m benchmarks.risk
	@$(RUN) --group bench python -m benchmarks.backtest
	@$(RUN) --group bench python -m benchmarks.backfill
	@$(RUN) --group bench python -m benchmarks.sources
	@$(RUN) --group bench python -m benchmarks.strategies
	@$(RUN) --group bench python -m benchmarks.faults
	@$(RUN) --group bench python -m benchmarks.faults --mutants
lock:  ## resolve the locks again (no address ends up in them)
	@scripts/lock.sh
