#!/usr/bin/env bash
# Prints the path of Chromium, in which the status page's tests open the page.
# Installs it where that can be done without asking: as root on Debian and its
# kin.
set -euo pipefail

find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

if ! find_chromium >/dev/null && [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium fonts-dejavu-core
  } >&2
fi

if ! find_chromium; then
  echo "ensure-chromium: there is no Chromium on PATH: install it (on Debian as root: apt-get install chromium)" >&2
  exit 1
fi
