#!/usr/bin/env bash
# Makes sure of a C compiler, which Go's race detector links with. Installs it
# where that can be done without asking: as root on Debian and its kin.
set -euo pipefail

if ! command -v gcc >/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends gcc libc6-dev
  } >&2
fi

if ! command -v gcc; then
  echo "ensure-cc: the race detector needs a C compiler: install gcc (on Debian as root: apt-get install gcc libc6-dev)" >&2
  exit 1
fi
