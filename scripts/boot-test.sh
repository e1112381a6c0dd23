#!/usr/bin/env bash
# Boots a Debian with mailu-rotator installed under systemd-nspawn and runs
# systemd/boottest there: $RELEASE, by default bookworm. The tree is made once for
# each release, and kept under ~/.cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $EUID -ne 0 ]]; then
  echo "boot-test: booting a tree needs root: sudo make boot-test" >&2
  exit 1
fi
scripts/tools.sh nspawn >/dev/null
vault=$(test/devstack/vault.sh)
nats=$(test/devstack/nats.sh)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator
release=${RELEASE:-bookworm}
tree=$cache/debian-$release-systemd
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work" "$tree.new"' EXIT

if [[ ! -d $tree ]]; then
  mkdir -p "$cache"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$release" "$tree.new" ${DEBIAN_MIRROR:-http://deb.debian.org/debian} >"$work/debootstrap.log" ||
    { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$tree.new"/var/cache/apt/archives/*.deb "$tree.new"/var/lib/apt/lists/*
  mv "$tree.new" "$tree"
fi

root=$work/root
cp -a --reflink=auto "$tree" "$root"
make -s package ARCHES="$(go env GOARCH)" DIST="$work/dist"
mkdir "$root/opt/boottest"
cp "$work"/dist/*.deb "$root/opt/boottest/mailu-rotator.deb"
systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --private-network \
  dpkg --install /opt/boottest/mailu-rotator.deb </dev/null >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; exit 1; }
install -m 755 "$vault" "$root/opt/boottest/vault"
install -m 755 "$nats" "$root/opt/boottest/nats-server"
CGO_ENABLED=0 go test -c -tags boot -o "$root/opt/boottest/boottest" ./systemd/boottest

cat >"$root/etc/systemd/system/boottest.service" <<UNIT
[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=MAILU_ROTATOR_VAULT=/opt/boottest/vault MAILU_ROTATOR_NATS=/opt/boottest/nats-server HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/opt/boottest/boottest -test.v -test.timeout 10m
StandardOutput=file:/opt/boottest/log
StandardError=inherit
ExecStopPost=/bin/sh -c 'systemctl exit \$\${EXIT_STATUS:-1}'
UNIT
ln -s ../boottest.service "$root/etc/systemd/system/multi-user.target.wants/boottest.service"

status=0
timeout --kill-after=10s 15m systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
  --private-network --link-journal=no --console=pipe </dev/null >"$work/console" 2>&1 || status=$?
cat "$root/opt/boottest/log" 2>/dev/null || cat "$work/console"
if ((status != 0)); then
  tail -n 30 "$work/console" >&2
  exit 1
fi
