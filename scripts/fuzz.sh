#!/usr/bin/env bash
# Runs the fuzz targets of the module, one after the other, for the time given to
# each: all that the sources have, or those whose name matches. What follows goes
# to go test. Needs go. An input that fails a target is kept below testdata/fuzz
# of its package, others in Go's cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

each=${1:?usage: fuzz.sh DURATION [NAMES [FLAG...]], such as 1m 'Load|Open' -parallel 1}
names=${2:-.}
status=0
while IFS=: read -r file _ line; do
  target=${line#func }
  target=${target%%(*}
  [[ $target =~ $names ]] || continue
  echo "== $(dirname "$file") $target for $each"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$each" -fuzzminimizetime 200x "${@:3}" </dev/null || status=1
done < <(git grep --untracked -nE '^func Fuzz[A-Za-z]+\(' -- '*_test.go')
exit $status
