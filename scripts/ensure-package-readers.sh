#!/usr/bin/env bash
# Makes sure of dpkg-deb and rpm, with which the packages are read back. Installs
# them where that can be done without asking: as root on Debian and its kin.
set -euo pipefail

missing() { for tool in dpkg-deb rpm; do command -v "$tool" >/dev/null || echo "$tool"; done; }

if [[ -n $(missing) && $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends dpkg rpm
  } >&2
fi

if [[ -n $(missing) ]]; then
  echo "ensure-package-readers: not on PATH: $(missing | xargs): install dpkg and rpm (on Debian as root: apt-get install dpkg rpm)" >&2
  exit 1
fi
