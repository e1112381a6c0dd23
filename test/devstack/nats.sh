#!/usr/bin/env bash
# Prints the path of a NATS server for tests and the demo, on one line:
#   $MAILU_ROTATOR_NATS, else the release of nats/go.mod, built once, and kept under
#   ~/.cache/mailu-rotator. One on PATH may be years older and is not used.
# Progress goes to stderr. Needs go and what every Debian has.
set -euo pipefail

module=github.com/nats-io/nats-server/v2

main() {
	if [[ -n ${MAILU_ROTATOR_NATS:-} ]]; then
		[[ -x $MAILU_ROTATOR_NATS ]] || die "MAILU_ROTATOR_NATS=$MAILU_ROTATOR_NATS is not an executable file: correct or unset it"
		echo "$MAILU_ROTATOR_NATS"
		return
	fi
	built
}

die() {
	echo "nats.sh: $*" >&2
	exit 1
}

built() {
	command -v go >/dev/null || die "no go on PATH: install Go, or set MAILU_ROTATOR_NATS"
	cd "$(dirname "${BASH_SOURCE[0]}")/nats"
	# One answer whatever the caller's Go settings are.
	export GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0
	unset GOOS GOARCH

	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator binary
	binary=$cache/nats-server-$(version)-$(fingerprint)
	if [[ ! -x $binary ]]; then
		mkdir -p "$cache"
		build "$cache" "$binary"
	fi
	echo "$binary"
}

version() {
	awk -v module=$module '$1 == module { print $2 }' go.mod
}

# Everything that decides what the binary is.
fingerprint() {
	{ go version && sha256sum go.mod go.sum ../nats.sh; } | sha256sum | cut -c1-16
}

build() {
	local cache=$1 binary=$2
	# 9>&-: the compiler must not hold the lock after this script is gone.
	exec 9>"$cache/nats-server.lock"
	flock 9
	[[ ! -x $binary ]] || return 0 # another process built it
	echo "building nats-server $(version) (once, half a minute on 2 cores)" >&2
	go build -trimpath -ldflags '-s -w' -o "$binary.new" $module 9>&- >&2 ||
		die "building nats-server failed: see above, or set MAILU_ROTATOR_NATS"
	mv "$binary.new" "$binary"
	find "$cache" -maxdepth 1 -name 'nats-server-*' -mtime +60 ! -path "$binary" -delete
}

main
