#!/usr/bin/env bash
# Makes sure of systemd-analyze, which checks the units. Installs it where that
# can be done without asking: as root on Debian and its kin.
set -euo pipefail

if ! command -v systemd-analyze >/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends systemd
  } >&2
fi

if ! command -v systemd-analyze; then
  echo "ensure-systemd-analyze: the units are checked by systemd-analyze: install systemd (on Debian as root: apt-get install systemd)" >&2
  exit 1
fi
