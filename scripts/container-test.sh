#!/usr/bin/env bash
# Builds the image from scratch, which needs no registry, and runs it with podman as
# the Compose file says: test/containers. What it stores is removed again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $EUID -ne 0 ]]; then
  echo "container-test: the container's user owns secrets: sudo make container-test" >&2
  exit 1
fi
scripts/tools.sh podman >/dev/null
MAILU_ROTATOR_VAULT=$(test/devstack/vault.sh)
work=$(mktemp -d)
export MAILU_ROTATOR_VAULT MAILU_ROTATOR_PODMAN="podman --root $work/storage --runroot $work/run --runtime runc"
trap '$MAILU_ROTATOR_PODMAN rm --all --force >/dev/null; $MAILU_ROTATOR_PODMAN rmi --all --force >/dev/null; rm -rf --one-file-system "$work"' EXIT

machine=$(go env GOARCH)
make -s all OUT="bin/package/$machine"
$MAILU_ROTATOR_PODMAN build --quiet --build-arg BASE=scratch --build-arg TARGETARCH="$machine" -t mailu-rotator -f deploy/container/Containerfile . >/dev/null
cd test/containers
GOWORK=off go test -tags podman -count 1 .
