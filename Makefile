# What a developer types. `make` alone lists it.

CARGO ?= $(shell command -v cargo || echo $(HOME)/.cargo/bin/cargo)
TARGET := $(or $(CARGO_TARGET_DIR),target)
EXAMPLE ?= examples/processing.yaml

.DEFAULT_GOAL := help
.PHONY: help packages build demo check test crds bench

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

packages:
	@scripts/install-packages

build: packages ## build Warren's programs
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
	@scripts/test-figures $(TARGET)/debug/warren-testkit run -- $(CARGO) test --workspace

crds: ## write crds/ anew from the code
	@$(CARGO) run --quiet --package warren-operator -- crd --write crds

bench: packages ## measure a release build beside a bare RabbitMQ client
	@$(CARGO) build --release --workspace --bins
	@$(TARGET)/release/warren-bench
