#!/bin/sh
# After a removal: systemd forgets the units. Nothing below /etc/mailu-rotator is
# deleted here: a package manager says which directories it leaves because there is
# something in them, such as credentials.
set -e

if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload || echo "systemd still knows the units of mailu-rotator: systemctl daemon-reload" >&2
fi
