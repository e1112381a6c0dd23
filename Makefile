# Developer commands; `make help` lists them. Needs Go and git. The C compiler
# for the race detector and Node for the second reader of the envelope are
# installed where the machine lets us (scripts/ensure-*.sh).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
BINARY  := bin/mailu-rotator
PKGS    := ./...
# The race detector makes a key derivation fourteen times as slow; Go's own hash
# functions need not be watched.
UNRACED := -gcflags='crypto/internal/fips140/...=-race=false'

.PHONY: help build test test-fast lint vulncheck fuzz demo chaos vault clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## build the program, static, into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BINARY) ./cmd/mailu-rotator

vault: ## find or build (once) the real Vault that demo and tests use
	@devstack/vault.sh

test: vault ## run every test, with the race detector, on a real Vault
	@scripts/ensure-node.sh >/dev/null && scripts/ensure-cc.sh >/dev/null
	CGO_ENABLED=1 go test -race $(UNRACED) -timeout 30m $(PKGS)
	cd devstack && CGO_ENABLED=0 GOWORK=off go vet -trimpath ./...

test-fast: vault ## the same without the race detector, and cached
	go test -timeout 15m $(PKGS)

lint: ## formatting, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet $(PKGS)
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 $(PKGS)

vulncheck: ## known vulnerabilities in what we depend on (needs vuln.go.dev)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(PKGS)

fuzz: ## run every fuzz target for FUZZTIME (default 1m) each
	scripts/fuzz.sh $${FUZZTIME:-1m}

demo: build vault ## watch it rotate passwords on a real Vault; KEEP=1 leaves it running
	@go build -o bin/demo ./demo
	@bin/demo -binary $(BINARY) $(if $(KEEP),-keep)

chaos: vault ## kill it and its servers at every step, then see who is locked out; DURATION=5m TENANTS=200 SEED=n
	@go build -o bin/chaos ./chaos
	@bin/chaos -duration $(or $(DURATION),5m) -tenants $(or $(TENANTS),200) -seed $(or $(SEED),0)

clean: ## remove what was built here (the cached Vault stays)
	rm -rf bin
