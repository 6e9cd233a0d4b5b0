# The two commands of the README are `demo` and `test`; each builds what it needs first.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: build demo test bench bench-quick lint format clean

build:
	@scripts/build.sh

demo:
	@scripts/demo.sh

test:
	@scripts/test.sh

bench:
	@scripts/bench.sh

bench-quick:
	@scripts/bench.sh quick

lint:
	@scripts/lint.sh

format:
	@scripts/format.sh

clean:
	rm -rf dist build node_modules native/target
