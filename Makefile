# `make run` shows haat at work, `make test` checks everything. Both start from a fresh checkout that has Rust, Node, make and
# a C compiler; what else they need they install, or say that they cannot.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test lint unit pages browser clients fleet docker observe autobahn fuzz suites bench clean

help: ## Shows this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: pages ## Builds all of it and starts a gateway with the demo pages, on the embedded engine
	cargo build --release --bin haat
	./target/release/haat serve --dev --demo web-demo/dist

test: lint unit pages browser clients fleet docker observe fuzz autobahn suites ## Everything

lint: ## Formatting, lints, forbidden dependencies, links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	.ci/deny
	.ci/links

unit: ## Rust tests
	.ci/unit

pages: web-demo/node_modules/.package-lock.json ## The demo pages: types, unit tests, build
	cd web-demo && npm run --silent check && npm run --silent test && npm run --silent build

browser: pages ## The pages in a real browser, against a real gateway
	cargo build --bin haat
	.ci/browser

clients: ## The official Socket.IO client against a real gateway
	cargo build --bin haat --example conformance
	.ci/clients

fleet: ## haat beside Node's own servers on one Redis, with the official packages
	cargo build --bin haat
	.ci/fleet

docker: pages ## The image and a fleet of containers, built and run; the manifests of Kubernetes
	cargo build --release --bin haat
	.ci/docker
	.ci/k8s

observe: ## Alerts, dashboard and runbooks against a fleet and a real Prometheus
	cargo build --bin haat
	.ci/observe

fuzz: ## A few seconds of fuzzing per decoder
	.ci/fuzz

autobahn: ## The WebSocket conformance suite
	cargo build --release --example echo
	.ci/autobahn

suites: ## The official protocol suites, from a checkout of socket.io named by SOCKET_IO
	cargo build --example conformance
	.ci/suites

bench: ## The figures of the README, saved under bench/results
	bench/run.sh

clean: ## Removes what was built
	cargo clean
	rm -rf web-demo/dist web-demo/node_modules server/tests/*/node_modules

web-demo/node_modules/.package-lock.json: web-demo/package.json web-demo/package-lock.json
	cd web-demo && npm ci --no-audit --no-fund
	@touch $@
