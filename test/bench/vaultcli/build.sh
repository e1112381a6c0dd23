#!/usr/bin/env bash
# Prints the path of Vault's command line, which the baseline script needs, on one
# line: $MAILU_ROTATOR_VAULT_CLI, else vault or bao on PATH, else Vault's own
# command built from its Go package, once, and kept under ~/.cache/mailu-rotator.
# That takes a minute or two after test/devstack/vault.sh has built the server, and
# five without.
set -euo pipefail

main() {
	if [[ -n ${MAILU_ROTATOR_VAULT_CLI:-} ]]; then
		echo "$MAILU_ROTATOR_VAULT_CLI"
		return
	fi
	command -v vault || command -v bao || built
}

built() {
	cd "$(dirname "${BASH_SOURCE[0]}")"
	export GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0
	unset GOOS GOARCH
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator binary
	binary=$cache/cli-vault-$({ go version && sha256sum main.go go.mod go.sum; } | sha256sum | cut -c1-16)
	mkdir -p "$cache"
	exec 9>"$cache/cli-vault.lock"
	flock 9
	if [[ ! -x $binary ]]; then
		echo "building Vault's command line (once, some minutes)" >&2
		go build -trimpath -ldflags '-s -w' -tags minimal -o "$binary.new" . 9>&- >&2
		mv "$binary.new" "$binary"
	fi
	echo "$binary"
}

main
