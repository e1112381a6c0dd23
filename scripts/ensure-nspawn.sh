#!/usr/bin/env bash
# Makes sure of systemd-nspawn and debootstrap, for the boot test. Installs them
# where that can be done without asking: as root on Debian and its kin.
set -euo pipefail

if ! command -v systemd-nspawn debootstrap >/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends systemd-container debootstrap
  } >&2
fi

if ! command -v systemd-nspawn || ! command -v debootstrap; then
  echo "ensure-nspawn: the boot test needs systemd-nspawn and debootstrap (on Debian as root: apt-get install systemd-container debootstrap)" >&2
  exit 1
fi
