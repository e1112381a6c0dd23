#!/bin/sh
# Before a removal: ends what runs, and lets it finish the rotations in flight. Not
# before an upgrade, after which postinstall.sh restarts what runs.
set -e

# dpkg says what it is about; rpm the number of versions that will be left.
case "$1" in
  remove | 0) ;;
  *) exit 0 ;;
esac
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
  {
    systemctl disable --now mailu-rotator-sweep.timer mailu-rotator.service mailu-rotator-worker.service &&
      systemctl stop mailu-rotator-sweep.service mailu-rotator-emergency.service
  } || echo "not all of mailu-rotator was stopped: see systemctl status 'mailu-rotator*'" >&2
fi
