# The two commands of the README are `demo` and `test`; each builds what it needs first.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: build demo test bench bench-quick bench-scale bench-waypoint bench-dns soak lint format clean image cluster cluster-down test-cluster

build:
	@scripts/build.sh

demo:
	@scripts/demo.sh

test:
	@scripts/test.sh

# A real two-node Kubernetes on this machine, as root; needs Go to build it once.
cluster:
	@test/cluster/cluster.sh status || test/cluster/cluster.sh up
	@echo "export KUBECONFIG=$$(test/cluster/cluster.sh path kubeconfig)"
	@echo "alias kubectl=$$(test/cluster/cluster.sh path kubectl)"

cluster-down:
	@test/cluster/cluster.sh down

test-cluster:
	@scripts/test-cluster.sh

image:
	@scripts/image.sh

# What agents and control plane hold must stay level under load: MINUTES=30.
soak:
	@scripts/soak.sh $(MINUTES)

bench:
	@scripts/bench.sh

bench-quick:
	@scripts/bench.sh quick

# SIZES: quick, full, or WORKLOADSxAGENTS such as 10000x100; several are separated by spaces.
bench-scale:
	@scripts/bench-scale.sh $(SIZES)

bench-waypoint:
	@scripts/bench-waypoint.sh

bench-dns:
	@scripts/bench-dns.sh

lint:
	@scripts/lint.sh

format:
	@scripts/format.sh

clean:
	rm -rf dist build node_modules native/target
