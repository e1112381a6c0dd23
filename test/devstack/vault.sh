#!/usr/bin/env bash
# Prints the path of a Vault server for tests and the demo, on one line:
#   $MAILU_ROTATOR_VAULT, else vault or bao on PATH, else one built from Vault's
#   own Go packages (cmd/vault), once, and kept under ~/.cache/mailu-rotator.
# Progress goes to stderr. Needs go and what every Debian has.
set -euo pipefail

minutes=3 # cold build on 2 cores, see README.md

main() {
	if [[ -n ${MAILU_ROTATOR_VAULT:-} ]]; then
		[[ -x $MAILU_ROTATOR_VAULT ]] || die "MAILU_ROTATOR_VAULT=$MAILU_ROTATOR_VAULT is not an executable file: correct or unset it"
		echo "$MAILU_ROTATOR_VAULT"
		return
	fi
	command -v vault || command -v bao || built
}

die() {
	echo "vault.sh: $*" >&2
	exit 1
}

built() {
	command -v go >/dev/null || die "no vault, bao or go on PATH: install Go, or set MAILU_ROTATOR_VAULT"
	cd "$(dirname "${BASH_SOURCE[0]}")"
	# One answer whatever the caller's Go settings are.
	export GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0
	unset GOOS GOARCH

	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator
	local binary
	binary=$cache/vault-$(fingerprint)
	if [[ ! -x $binary ]]; then
		mkdir -p "$cache"
		build "$cache" "$binary"
	fi
	echo "$binary"
}

# Everything that decides what the binary is.
fingerprint() {
	{
		go version
		find cmd/vault absent go.mod go.sum vault.sh -type f ! -name '*_test.go' -print0 |
			LC_ALL=C sort -z | xargs -0 sha256sum
	} | sha256sum | cut -c1-16
}

build() {
	local cache=$1 binary=$2
	exec 9>"$cache/vault.lock"
	if ! flock -n 9; then
		echo "waiting for another process that is building Vault" >&2
		flock 9
	fi
	[[ ! -x $binary ]] || return 0 # the other process built it

	work=$(mktemp -d "$cache/build.XXXXXX")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	# 9>&-: the compiler must not hold the lock after this script is gone.
	go build -v -trimpath -ldflags '-s -w' -o "$work/vault" ./cmd/vault >"$work/log" 2>&1 9>&- &
	compiler=$!
	progress "$work/log"
	wait "$compiler" || {
		compiler=
		tail -n 30 "$work/log" >&2
		die "building Vault failed: see above, or install vault or bao, or set MAILU_ROTATOR_VAULT"
	}
	compiler=
	mv "$work/vault" "$binary"
	find "$cache" -maxdepth 1 -name 'vault-*' -mtime +60 ! -path "$binary" -delete
}

compiler=
work=
clean_up() {
	[[ -z $compiler ]] || kill "$compiler" 2>/dev/null || true
	[[ -z $work ]] || rm -rf "$work"
}

progress() {
	local log=$1 compiled total='' every=15 end=$'\n'
	if [[ -t 2 ]]; then
		every=1 end=$'\e[K\r'
	fi
	local start=$SECONDS said=$((SECONDS - every))
	while kill -0 "$compiler" 2>/dev/null; do
		if ((SECONDS - said >= every)); then
			said=$SECONDS
			compiled=$(grep -cv '^go: ' "$log" || true)
			if ((compiled == 0)); then
				compiled="$(grep -c '^go: downloading' "$log" || true) modules downloaded"
			else
				# Not earlier: counting needs the modules and would wait for them unseen.
				[[ -n $total ]] || total=$(go list -deps ./cmd/vault 2>/dev/null 9>&- | wc -l || true)
				compiled="$compiled of ~$total packages"
			fi
			printf 'building Vault (once, about %d minutes on 2 cores): %ds, %s%s' \
				"$minutes" $((SECONDS - start)) "$compiled" "$end" >&2
		fi
		sleep 0.5
	done
	[[ $end == $'\n' ]] || echo >&2
}

main
