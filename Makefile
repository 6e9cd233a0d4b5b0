# The two commands of the README are `demo` and `test`; everything they need is a prerequisite here.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: build demo test bench bench-quick lint clean

build:
	@scripts/build.sh
