#!/usr/bin/env bash
# Prints the path of promtool, which checks the alert rules and runs their tests.
# Where there is none on PATH it is taken out of Debian's package, without
# installing that: a Prometheus would be started. Kept in ~/.cache/mailu-rotator.
set -euo pipefail

kept=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator/promtool

if command -v promtool; then
  exit
fi
if [[ ! -x $kept ]] && command -v apt-get >/dev/null; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  {
    cd "$work"
    [[ $EUID -ne 0 ]] || apt-get update -q
    apt-get download prometheus
    dpkg-deb -x prometheus_*.deb .
    mkdir -p "$(dirname "$kept")"
    mv usr/bin/promtool "$kept.$$" # another file system, maybe: not at once
    mv "$kept.$$" "$kept"
  } >&2
fi
if [[ ! -x $kept ]]; then
  echo "ensure-promtool: there is no promtool on PATH: install Prometheus (on Debian: apt-get install prometheus)" >&2
  exit 1
fi
echo "$kept"
