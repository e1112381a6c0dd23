#!/usr/bin/env bash
# Prints the path of Node.js, the second implementation that the envelope's
# tests need. Installs it where that can be done without asking: as root on
# Debian and its kin.
set -euo pipefail

if ! command -v node >/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs
  } >&2
fi

if ! command -v node; then
  echo "ensure-node: there is no node on PATH: install Node.js 16 or later (on Debian as root: apt-get install nodejs)" >&2
  exit 1
fi
