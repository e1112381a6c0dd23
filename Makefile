# Developer commands; `make help` lists them. Needs Go and git. The C compiler
# for the race detector, Node for the second reader of the envelope, promtool for
# the alert rules, Chromium for the status page, dpkg and rpm for the packages, jq
# and curl for the benchmark's script, TypeScript, Python and PHP for the example
# readers are fetched where the machine lets us (scripts/tools.sh).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What `mailu-rotator version` says. Where there is no git, give VERSION and
# SOURCE_DATE_EPOCH (the date of the sources, in seconds), and COMMIT if known.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
export SOURCE_DATE_EPOCH
STAMP   := -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.epoch=$(SOURCE_DATE_EPOCH)
OUT     ?= bin
BINARY  := $(OUT)/mailu-rotator
PKGS    := ./...
# Postfix starts only as root.
TESTED  = $$(go list $(PKGS) $(if $(filter 0,$(shell id -u)),,| grep -v /test/logins))
# Where install puts things, as the GNU coding standards name them. Packagers set
# PREFIX=/usr and DESTDIR.
PREFIX  ?= /usr/local
DESTDIR ?=
UNITS   := $(DESTDIR)$(PREFIX)/lib/systemd/system
DOC     := $(DESTDIR)$(PREFIX)/share/doc/mailu-rotator
# The race detector makes a key derivation fourteen times as slow; Go's own hash
# functions need not be watched.
UNRACED := -gcflags='crypto/internal/fips140/...=-race=false'

.PHONY: help all build man completions licences install package boot-test container-test check-units generate test test-fast bench bench-check readers lint vulncheck fuzz demo chaos convictions wave vault nats clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Nothing of this machine or directory is in it, and of git only what is stamped:
# the same sources and the same Go give the same bytes.
build: ## build the program, static, into bin/
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w $(STAMP)' -o $(BINARY) ./cmd/mailu-rotator

# go run and not the binary, which may be for another machine; with the flags of
# build, so that all is compiled once.
RUN := GOOS= GOARCH= CGO_ENABLED=0 go run -trimpath -buildvcs=false

man: ## write the manual pages into bin/man/
	@mkdir -p $(OUT)/man
	$(RUN) -tags man ./cmd/mailu-rotator man $(OUT)/man
	@cp docs/man/mailu-rotator.8 $(OUT)/man/

completions: ## write the completions of bash, zsh and fish into bin/completions/
	@mkdir -p $(OUT)/completions
	$(RUN) ./cmd/mailu-rotator completion bash >$(OUT)/completions/mailu-rotator
	$(RUN) ./cmd/mailu-rotator completion zsh >$(OUT)/completions/_mailu-rotator
	$(RUN) ./cmd/mailu-rotator completion fish >$(OUT)/completions/mailu-rotator.fish

licences: ## gather the licences of all that is linked in bin/THIRD_PARTY_LICENSES
	@mkdir -p $(OUT)
	deploy/packaging/licences.sh >$(OUT)/THIRD_PARTY_LICENSES

all: build man completions licences ## all that install installs

install: ## install what all made, below $DESTDIR$PREFIX (PREFIX is /usr/local)
	@test -x $(BINARY) -a -d $(OUT)/man -a -d $(OUT)/completions -a -s $(OUT)/THIRD_PARTY_LICENSES || { echo "not made yet: make all"; exit 1; }
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/mailu-rotator
	install -m 755 systemd/mailu-rotator-as-service $(DESTDIR)$(PREFIX)/bin/
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/bin/mailu-rotator-as-service
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 $(OUT)/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -D -m 644 $(OUT)/completions/mailu-rotator $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mailu-rotator
	install -D -m 644 $(OUT)/completions/_mailu-rotator $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_mailu-rotator
	install -D -m 644 $(OUT)/completions/mailu-rotator.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/mailu-rotator.fish
	install -d $(addprefix $(DOC)/,docs/images deploy/prometheus deploy/grafana deploy/hooks deploy/compose deploy/kubernetes examples/readers)
	install -m 644 $(OUT)/THIRD_PARTY_LICENSES LICENSE README.md CHANGELOG.md SECURITY.md config.yaml $(DOC)/
	install -m 644 docs/*.md $(DOC)/docs/
	install -m 644 docs/images/* $(DOC)/docs/images/
	install -m 644 deploy/prometheus/alerts.yaml $(DOC)/deploy/prometheus/
	install -m 644 deploy/grafana/dashboard.json $(DOC)/deploy/grafana/
	install -m 755 deploy/hooks/mail deploy/hooks/slack deploy/hooks/ntfy deploy/hooks/readers $(DOC)/deploy/hooks/
	install -m 644 deploy/compose/*.yaml $(DOC)/deploy/compose/
	install -m 644 examples/readers/* $(DOC)/examples/readers/
	install -m 644 deploy/kubernetes/*.yaml $(DOC)/deploy/kubernetes/
	install -d $(addprefix $(UNITS)/,mailu-rotator.service.d mailu-rotator-.service.d)
	install -m 644 systemd/*.service systemd/*.timer $(UNITS)/
	sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(UNITS)/mailu-rotator*.service
	install -m 644 systemd/hardening.conf $(UNITS)/mailu-rotator.service.d/10-hardening.conf
	install -m 644 systemd/hardening.conf $(UNITS)/mailu-rotator-.service.d/10-hardening.conf
	install -D -m 644 systemd/sysusers.d/mailu-rotator.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/mailu-rotator.conf
	install -D -m 644 systemd/tmpfiles.d/mailu-rotator.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/mailu-rotator.conf

boot-test: vault nats ## install the package in a Debian tree, boot that with systemd-nspawn, test the service there (root)
	scripts/boot-test.sh

container-test: vault ## build the image, run it with podman as the Compose file says (root)
	scripts/container-test.sh

check-units: all ## systemd has nothing against the units, and they are hardened
	scripts/check-units.sh

# Whoever hands packages out gives their MAINTAINER: "Name <name@example.org>".
DIST       ?= dist
ARCHES     ?= amd64 arm64
MAINTAINER ?= mailu-rotator maintainers <mailu-rotator@example.org>
package: ## .deb, .rpm, .tar.gz, bill of materials and checksums, into dist/
	@VERSION='$(VERSION)' COMMIT='$(COMMIT)' OUT='$(OUT)' DIST='$(DIST)' ARCHES='$(ARCHES)' MAINTAINER='$(MAINTAINER)' \
		deploy/packaging/package.sh

generate: ## write the tables of docs/configuration.md anew, from internal/config/config.go
	go generate ./internal/config

vault: ## find or build (once) the real Vault that demo and tests use
	@test/devstack/vault.sh

nats: ## find or build (once) the real NATS server that demo and tests use
	@test/devstack/nats.sh

# The simulations run one goroutine at a time: there the race detector finds
# nothing, and would leave only their small bound.
test: vault nats ## run every test, with the race detector, on a real Vault and a real NATS
	@scripts/tools.sh node cc promtool chromium package-readers script readers $(if $(filter 0,$(shell id -u)),mail-servers) >/dev/null
	CGO_ENABLED=1 go test -race $(UNRACED) -timeout 30m $$(printf '%s\n' $(TESTED) | grep -v '/rotator/simulation')
	go test -timeout 30m ./rotator/simulation/...
	cd test/devstack && CGO_ENABLED=0 GOWORK=off go vet -trimpath ./...
	cd test/browser && GOWORK=off go test -timeout 15m ./...
	cd test/containers && GOWORK=off go test -count 1 -timeout 15m ./... # reads files that the cache does not watch
	cd test/bench && GOWORK=off go test -timeout 15m ./...

test-fast: vault nats ## the same without the race detector, and cached
	go test -timeout 15m $(TESTED)

$(OUT)/bench: FORCE
	@cd test/bench && GOWORK=off go build -o $(abspath $@) .
FORCE:

bench: build vault nats $(OUT)/bench ## measure all of docs/performance.md and write it (about 45 minutes); BENCH="-only scan"
	@scripts/tools.sh script >/dev/null
	@$(OUT)/bench -root . -binary $(BINARY) -write $(BENCH)

bench-check: build vault nats $(OUT)/bench ## measure less, and fail where a ratio is worse than in test/bench/results.json
	@scripts/tools.sh script >/dev/null
	@$(OUT)/bench -root . -binary $(BINARY) -scale check -check $(BENCH)

readers: vault ## measure how long the example readers wait while all is rotated (7 minutes, a quiet machine); READS=10000
	@scripts/tools.sh readers >/dev/null
	go test ./test/readers -count 1 -timeout 2h -run TestReadersWhileAllIsRotated -v -args \
		-reads $(or $(READS),10000) -rotations 8 -hashing 300ms -gap 700ms

# Built once; its own name says which one it is.
LINTER := bin/golangci-lint-v2.15.0
$(LINTER):
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	GOOS= GOARCH= GOBIN=$$dir CGO_ENABLED=0 go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(@:bin/golangci-lint-%=%) && \
	install -D "$$dir/golangci-lint" $@

lint: $(LINTER) ## formatting, and what .golangci.yml lists: vet, staticcheck, gosec and more
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(LINTER) run $(PKGS)
	$(LINTER) run --build-tags boot ./systemd/...
	cd test/browser && GOWORK=off $(CURDIR)/$(LINTER) run --config ../../.golangci.yml ./...
	cd test/containers && GOWORK=off $(CURDIR)/$(LINTER) run --build-tags podman --config ../../.golangci.yml ./...
	cd test/bench && GOWORK=off $(CURDIR)/$(LINTER) run --config ../../.golangci.yml ./...

vulncheck: ## known vulnerabilities in what we depend on (needs vuln.go.dev)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(PKGS)

fuzz: ## run every fuzz target for FUZZTIME (default 1m) each
	scripts/fuzz.sh $${FUZZTIME:-1m}

demo: build vault nats ## watch it rotate passwords on a real Vault; CLUSTER=1 by several hosts, KEEP=1 leaves it running
	@go build -o bin/demo ./test/demo
	@bin/demo -binary $(BINARY) $(if $(CLUSTER),-cluster) $(if $(KEEP),-keep)

chaos: vault nats ## kill it and its servers at every step, then see who is locked out; DURATION=5m TENANTS=200 SEED=n CLUSTER=1 VAULT=raft
	@go build -o bin/chaos ./test/chaos
	@bin/chaos -duration $(or $(DURATION),5m) -tenants $(or $(TENANTS),200) -seed $(or $(SEED),0) $(if $(CLUSTER),-cluster -nights 0) $(if $(filter raft,$(VAULT)),-raft -nights 0)

convictions: vault nats ## the judges of make chaos CLUSTER=1 convict broken programs (5 minutes, a quiet machine)
	go test -tags convictions -run TestABrokenClusterIsFound -timeout 30m ./test/chaos

wave: ## two years of a fleet that was imported on one day, with a rotation.spread and without (a minute)
	cd test/bench && GOWORK=off go run ./spreadsim -svg ../../docs/images/wave.svg

clean: ## remove what was built here (the cached servers stay)
	rm -rf bin dist
