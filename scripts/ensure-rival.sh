#!/usr/bin/env bash
# Makes sure that curl, jq and openssl are there, which the benchmark's rival is
# written in. Installs them where that can be done without asking: as root on
# Debian and its kin.
set -euo pipefail

missing=()
for tool in curl jq openssl; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done

if [[ ${#missing[@]} -gt 0 && $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
  } >&2
fi

for tool in curl jq openssl; do
  if ! command -v "$tool"; then
    echo "ensure-rival: there is no $tool on PATH: install it (on Debian as root: apt-get install $tool)" >&2
    exit 1
  fi
done
