#!/usr/bin/env bash
# What ops people write who have no mailu-rotator: rotates the password of every
# tenant with vault, curl, jq and openssl, so many tenants at a time.
#
#   baseline.sh PREFIX PARALLEL
#
# It does no more than is needed: one read, one push, one write by check-and-set.
# A shell cannot do AES-GCM with a tag where the envelope wants it, so the password
# is sealed as openssl does it, with the same key derivation. No secret is in an
# argument. From the environment: VAULT (Vault's command line), VAULT_ADDR,
# VAULT_TOKEN, KEY_FILE, and HEADER_FILE with Mailu's Authorization header.
set -euo pipefail

export PREFIX=$1
parallel=$2

rotate() {
	local record version user origin password sealed now
	record=$("$VAULT" kv get -format=json -mount=vault "$PREFIX/$1/admin")
	IFS=$'\t' read -r version user origin < <(
		jq -r '.data | [.metadata.version, .data.username, (.data.webmail_url | sub("/webmail$"; ""))] | @tsv' <<<"$record"
	)
	password=$(openssl rand -base64 24)
	sealed=$(openssl enc -aes-256-cbc -pbkdf2 -iter 100000 -md sha256 -pass "file:$KEY_FILE" -a -A <<<"$password")
	curl -fsS -o /dev/null -X PATCH -H "@$HEADER_FILE" -H 'Content-Type: application/json' \
		--data @- "$origin/api/v1/user/$user" <<<"{\"raw_password\":\"$password\"}"
	printf -v now '%(%FT%TZ)T' -1
	jq --arg sealed "$sealed" --arg now "$now" '.data.data | .password = $sealed | .last_rotated = $now' <<<"$record" |
		"$VAULT" kv put -cas="$version" -mount=vault "$PREFIX/$1/admin" - >/dev/null
}
export -f rotate

# Several tenants for each shell, which then need not start as often.
"$VAULT" kv list -format=json -mount=vault "$PREFIX" | jq -r '.[] | rtrimstr("/")' |
	xargs -P "$parallel" -n 2 bash -euo pipefail -c 'for tenant; do rotate "$tenant"; done' _
