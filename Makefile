# What a developer types. `make` alone lists it.

CARGO ?= $(shell command -v cargo || echo $(HOME)/.cargo/bin/cargo)
TARGET := $(or $(CARGO_TARGET_DIR),target)
EXAMPLE ?= examples/processing.yaml
CASES ?= 1000000

.DEFAULT_GOAL := help
.PHONY: help packages build demo check test fuzz crds bench bench-burst bench-operator bench-reactions bench-scale-in bench-scaling chaos images cluster \
  cluster-down

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

packages:
	@scripts/install-packages --for-tests

build: ## build Warren's programs
	@scripts/install-packages
	@$(CARGO) build --workspace --bins

# exec: make must not stand between the terminal and a program that ends its children in order.
demo: build ## run EXAMPLE (examples/processing.yaml) on this machine
	@exec $(TARGET)/debug/warren-operator local $(EXAMPLE)

check: ## formatting, lints and the tests that need no server
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@scripts/test-figures $(CARGO) test --workspace --lib --quiet

test: packages ## everything: formatting, lints, every test on real servers
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@$(CARGO) build --workspace --bins
	@previous=$$(CARGO=$(CARGO) scripts/previous-build) && \
		scripts/test-figures env CARGO=$(CARGO) WARREN_TEST_PREVIOUS="$$previous" scripts/with-cluster $(TARGET)/images \
		$(TARGET)/debug/warren-testkit run -- $(CARGO) test --workspace --no-fail-fast

# The very properties of `make check` and `make test`.
fuzz: packages ## try each property of what reads foreign input CASES (1000000) times
	@PROPTEST_CASES=$(CASES) $(CARGO) test --profile fuzz --lib --test web-service -p warren-messaging \
		-p warren-processor -p warren-web-service -p warren-operator -- properties::

crds: ## write crds/ anew from the code, for the chart too
	@$(CARGO) run --quiet --package warren-operator -- crd --write crds
	@cp crds/*.yaml charts/warren/files/

bench: packages ## measure a release build beside a bare RabbitMQ client
	@$(CARGO) build --release --workspace --bins
	@$(TARGET)/release/warren-bench

bench-burst: packages ## measure bursts of requests on the test cluster (ROUNDS=5, IDLE=30 seconds)
	@$(CARGO) build --workspace --bins
	@CARGO=$(CARGO) scripts/with-cluster $(TARGET)/images bash -c \
		'PATH=$${XDG_CACHE_HOME:-$$HOME/.cache}/warren-cluster/bin:$$PATH KUBECONFIG=$$WARREN_TEST_KUBECONFIG exec \
		$(TARGET)/debug/warren-testkit run -- scripts/bench-burst $(TARGET)/*-linux-gnu/release/warren-operator'

bench-reactions: packages ## measure on the test cluster how soon the operator sees to a pipeline, and repairs it (ROUNDS=10)
	@$(CARGO) build --workspace --bins
	@CARGO=$(CARGO) scripts/with-cluster $(TARGET)/images bash -c \
		'PATH=$${XDG_CACHE_HOME:-$$HOME/.cache}/warren-cluster/bin:$$PATH KUBECONFIG=$$WARREN_TEST_KUBECONFIG exec \
		$(TARGET)/debug/warren-testkit run -- scripts/bench-reactions $(TARGET)/*-linux-gnu/release/warren-operator'

bench-scale-in: packages ## measure on the test cluster whether scaling in ends anybody who is busy (SCALE_INS=50)
	@$(CARGO) build --workspace --bins
	@CARGO=$(CARGO) scripts/with-cluster $(TARGET)/images bash -c \
		'PATH=$${XDG_CACHE_HOME:-$$HOME/.cache}/warren-cluster/bin:$$PATH KUBECONFIG=$$WARREN_TEST_KUBECONFIG exec \
		$(TARGET)/debug/warren-testkit run -- scripts/bench-scale-in $(TARGET)/*-linux-gnu/release/warren-operator'

bench-operator: packages images ## measure the operator with 1, 100 and 1,000 pipelines (MANAGEMENT=1: with RabbitMQ's statistics)
	@$(CARGO) build --workspace --bins
	@kubeconfig=$$(testkit/cluster/up --control-plane-only) && \
		PATH=$${XDG_CACHE_HOME:-$$HOME/.cache}/warren-cluster/bin:$$PATH KUBECONFIG=$$kubeconfig \
		$(TARGET)/debug/warren-testkit run $(if $(MANAGEMENT),,--no-management) -- scripts/bench-operator $(TARGET)/*-linux-gnu/release/warren-operator; \
		status=$$?; testkit/cluster/down --control-plane-only; exit $$status

bench-scaling: packages ## simulate the scaling rules beside KEDA and an oracle; no cluster needed
	@$(CARGO) run --quiet --package warren-bench --bin warren-bench-scaling -- \
		--markdown bench/scaling.md --guide docs/scaling.md --plots docs/scaling

chaos: packages ## break everything while clients submit, then compare (MESSAGES= FAULTS= SEED= BROKER= QUEUE_TYPE= HANDLER= STORE= SOAK=)
	@$(CARGO) build --release --workspace --bins
	@exec scripts/chaos $(TARGET)/release/warren-chaos

images: ## build the container images target/images/*.tar; no Docker needed
	@CARGO=$(CARGO) scripts/images $(TARGET)/images

cluster: ## start a real Kubernetes on this machine, as root (the first time it is built: 20 minutes)
	@kubeconfig=$$(testkit/cluster/up) && echo "export KUBECONFIG=$$kubeconfig"

cluster-down: ## end it
	@testkit/cluster/down
