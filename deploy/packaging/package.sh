#!/usr/bin/env bash
# Makes the packages, a tar, a bill of materials and the checksums of all into
# $DIST, for each machine in $ARCHES. make package calls it with what it needs. The
# same sources give the same bytes, whatever the directory, user, umask, time zone
# and day: packages_test.go holds that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

: "${VERSION:?}" "${SOURCE_DATE_EPOCH:?where there is no git, give VERSION and SOURCE_DATE_EPOCH}"
: "${OUT:?}" "${DIST:?}" "${ARCHES:?}" "${MAINTAINER:?}"
export LC_ALL=C TZ=UTC GOOS=linux CGO_ENABLED=0
umask 022

# The newest whose modules can all be had: later ones, for msix, need some that
# module proxies refuse.
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
gomod=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
# Tools are for this machine, and trimmed: a bill has the checksum of who wrote it.
tool() { GOOS='' GOARCH='' GOFLAGS='' go run -trimpath "$@"; }

PACKAGE_VERSION=$(deploy/packaging/version.sh "$VERSION" "$SOURCE_DATE_EPOCH")
export PACKAGE_VERSION
mkdir -p "$DIST"
rm -f "$DIST"/mailu-rotator* "$DIST"/SHA256SUMS
for GOARCH in $ARCHES; do
  export GOARCH ARCH=$GOARCH
  out=$OUT/package/$GOARCH
  name=mailu-rotator-$PACKAGE_VERSION-linux-$GOARCH
  rm -rf "$out"
  make -s all OUT="$out"

  # To be unpacked over /usr/local, or looked into.
  make -s install OUT="$out" DESTDIR="$out/tar" PREFIX=/usr/local
  tar -c -C "$out/tar/usr/local" --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=root:0 --group=root:0 --transform "s,^\.,$name," . | gzip -9n >"$DIST/$name.tar.gz"

  export STAGE=$out/root
  make -s install OUT="$out" DESTDIR="$STAGE" PREFIX=/usr
  gzip -9n "$STAGE"/usr/share/man/man8/*.8
  printf 'mailu-rotator (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
    "$PACKAGE_VERSION" "$MAINTAINER" "$(date -R -d "@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$out/changelog.Debian.gz"
  export CHANGELOG=$out/changelog.Debian.gz
  find "$STAGE" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
  for format in deb rpm; do
    tool $nfpm package --config deploy/packaging/nfpm.yaml --packager $format --target "$DIST" >/dev/null
  done

  tool $gomod bin -json -noserial -notimestamp -std -licenses -version "$PACKAGE_VERSION" \
    -output "$DIST/$name.cdx.json" "$out/mailu-rotator" 2>"$out/sbom.log" || { cat "$out/sbom.log" >&2; exit 1; }
done
(cd "$DIST" && sha256sum -- mailu-rotator* >SHA256SUMS)
