# `make demo` and `make test` work from a fresh clone with Python 3.11, pip and make.
# Each core takes whole files of tests; four processes at most, as those that convert take some GB each.
SHARED = -n logical --maxprocesses 4 --dist loadfile

.PHONY: demo test test-all check setup clean

demo: setup  ## Train, convert, verify, run and measure, on real digits.
	.venv/bin/python examples/demo.py

test: setup  ## The default suite: under 15 minutes on 2 cores.
	.venv/bin/python -m pytest $(SHARED)

test-all: setup  ## Everything: long sweeps, clean environments and real providers included.
	scripts/providers
	.venv/bin/python -m pytest $(SHARED) -m "slow or not slow"

check: setup  ## Lint, format and types.
	scripts/check

setup:
	@scripts/setup

clean:
	rm -rf .venv build dist *.egg-info
