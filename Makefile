# The verbs of this repository; CI calls only these. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Caches live outside the clone, so that the next clone is warm.
export DRYDOCK_CACHE ?= $(HOME)/.cache/drydock
export CARGO_TARGET_DIR ?= $(DRYDOCK_CACHE)/target
CLUSTER := e2e/cluster/cluster
IMAGES := $(DRYDOCK_CACHE)/images

# Cargo tells by time alone what has changed: after another clone has built into the same folder, ours is as new as now.
CLONE := $(CARGO_TARGET_DIR)/clone
$(shell [[ "$$(cat $(CLONE) 2>/dev/null)" == "$(CURDIR)" ]] || { git ls-files -z | xargs -0 touch -c; mkdir -p $(CARGO_TARGET_DIR); echo $(CURDIR) >$(CLONE); })

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: demo
demo: ## Everything from nothing: cluster, operator, a model optimized, served, rolled out and rolled back
	@e2e/demo.sh

.PHONY: test
test: check unit ## All tests, those on a real cluster too
	@# The cluster's tests wait for most of their time: others take it.
	@$(MAKE) --no-print-directory -j2 e2e beside

.PHONY: check
check: ## Formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: unit
unit: ## Tests that need no cluster
	library=$$(e2e/onnxruntime.sh); ORT_DYLIB_PATH=$$library cargo test --workspace --locked --exclude drydock-e2e --exclude drydock-kwok
	@# Of what the cluster's tests are made of too: in their profile, nothing but these is compiled. Their programs have no tests.
	. e2e/lib.sh; cargo test --release --locked -p drydock-e2e -p drydock-kwok --lib

.PHONY: beside
beside: # What takes the time that the cluster's tests leave
	@nice -n 19 $(MAKE) --no-print-directory simulation
	@nice -n 19 $(MAKE) --no-print-directory e2e-crash
	@nice -n 19 $(MAKE) --no-print-directory e2e-spec
	@nice -n 19 $(MAKE) --no-print-directory e2e-shards
	@nice -n 19 $(MAKE) --no-print-directory e2e-soak
	@nice -n 19 $(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10

.PHONY: simulation
simulation: ## 100,000 random lives of a simulated cluster, or DRYDOCK_SCHEDULES: the invariants of the planner (docs/reliability.md)
	DRYDOCK_SCHEDULES=$${DRYDOCK_SCHEDULES:-100000} nice -n 19 \
		cargo test --release --locked -p drydock-operator-core --test properties -- --test-threads=1 --nocapture

.PHONY: fuzz
fuzz: ## What strangers can send: each reader fuzzed for FUZZ_SECONDS (20), coverage by libFuzzer
	@e2e/fuzz.sh $${FUZZ_SECONDS:-20}

.PHONY: deny
deny: ## What may be in the tree: licences, bans, sources, advisories (from outside the registries). Builds cargo-deny the first time
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny@0.20.2
	cargo deny --locked check

.PHONY: e2e
e2e: ## Tests on a real cluster: the local one, or that of KUBECONFIG
	@e2e/run.sh

.PHONY: e2e-gateway
e2e-gateway: ## Those behind a real gateway; it is compiled first, which takes 10 minutes and more the first time
	@e2e/run.sh --gateway

.PHONY: e2e-crash e2e-soak e2e-spec e2e-shards
e2e-crash: ## The operator's story with deaths and faults on a real API server, a sample or DRYDOCK_CRASH=full (docs/reliability.md)
	@e2e/kwok/run.sh crash
e2e-soak: ## Changes, faults and deaths for SOAK_MINUTES (2) with SOAK_COUNT (20) ModelDeployments: memory, leaks, what is stuck
	@e2e/kwok/run.sh soak
e2e-spec: ## Every field of the spec at a real API server: valid values are taken, others refused by the field's name
	@e2e/kwok/run.sh spec
e2e-shards: ## Operators that share the ModelDeployments of an API server: each looks after those of its shard alone
	@e2e/kwok/run.sh shards

.PHONY: gen
gen: ## Everything that is generated and committed: the CRD, the schema of package.json
	cargo run -q --locked -p drydock-crds --bin crdgen .

.PHONY: images
images: ## The product's images as OCI archives in $DRYDOCK_CACHE/images
	@e2e/images.sh $(IMAGES)

.PHONY: plugin
plugin: ## kubectl drydock as one static program, and its path
	@e2e/plugin.sh

.PHONY: cluster-up cluster-down cluster-status
cluster-up: ## Start the local two-node Kubernetes
	@$(CLUSTER) build && $(CLUSTER) up
cluster-down: ## End it and put the machine back as it was
	@$(CLUSTER) down
cluster-status: ## Its components, nodes and logs
	@$(CLUSTER) status

.PHONY: bench-optimizer bench-distill bench-serving bench-rollouts bench-analysis bench-scaling bench-operator bench-cluster
bench-optimizer bench-distill bench-serving bench-rollouts bench-analysis bench-scaling bench-operator bench-cluster:
	@e2e/bench.sh $(@:bench-%=%)
