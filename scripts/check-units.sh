#!/usr/bin/env bash
# Checks the units as make install leaves them: systemd-analyze has nothing to say
# against them, and none is exposed beyond 1.2. Needs make all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/tools.sh systemd-analyze >/dev/null
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make -s install PREFIX=/usr DESTDIR="$root"
# What the units name of the host.
install -D -m 755 /bin/sh "$root/bin/sh"
for unit in sysinit basic shutdown multi-user timers network-online time-sync; do
  printf '[Unit]\nDescription=%s\n' "$unit" >"$root/usr/lib/systemd/system/$unit.target"
done

units=$(cd "$root/usr/lib/systemd/system" && ls mailu-rotator*.service mailu-rotator*.timer)
complaints=$(systemd-analyze verify --root="$root" --man=no $units 2>&1) || true
if [[ -n $complaints ]]; then
  echo "check-units: systemd-analyze verify: $complaints" >&2
  exit 1
fi
for unit in $units; do
  [[ $unit == *.service ]] || continue
  # The threshold is ten times the exposure.
  systemd-analyze security --root="$root" --offline=true --threshold=12 --no-pager "$unit" | tail -n 1
done
