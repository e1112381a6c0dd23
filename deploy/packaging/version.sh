#!/usr/bin/env bash
# Prints the version of the packages for what git describe says of the sources and
# their date in seconds. dpkg and rpm sort these as the commits were made:
#   v1.2.3                       1.2.3
#   v1.3.0-rc.1                  1.3.0~rc.1              before 1.3.0
#   v1.2.3-4-gabc1234            1.2.3+4.gabc1234        between 1.2.3 and 1.2.4
#   abc1234 (no tag yet)         0~git20261125131015.abc1234
# and where files differ from the commit, +dirty behind it.
set -euo pipefail

described=${1:?what git describe says} epoch=${2:?the date of the sources}
if [[ $described =~ ^v[0-9] ]]; then
  sed -E 's/^v//; s/-dirty$/+dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/g' <<<"$described"
  exit
fi
echo "0~git$(date -u -d "@$epoch" +%Y%m%d%H%M%S).${described//-/+}"
