#!/bin/sh
# After an installation or upgrade. Makes the services' user. Enables and starts nothing: that is for whoever
# has configured it. A daemon or worker that runs is restarted: SIGTERM lets it finish the
# rotations in flight, which takes as long as TimeoutStopSec= at most. Runs of the
# emergency or sweep service go on with the program that they began with.
set -e

# dpkg says configure, or what it aborted; rpm the number of installed versions.
case "$1" in
  configure | [0-9]*) ;;
  *) exit 0 ;;
esac
if [ -z "${DPKG_ROOT:-}" ] && command -v systemd-sysusers >/dev/null; then
  systemd-sysusers mailu-rotator.conf ||
    echo "there is no user mailu-rotator: the services make one up while they run" >&2
fi
if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
  { systemctl daemon-reload && systemctl try-restart mailu-rotator.service mailu-rotator-worker.service; } ||
    echo "mailu-rotator is installed, but does not run: see journalctl -u 'mailu-rotator*'" >&2
fi
