#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the time given
# to each. Needs go. What is found is kept below testdata/fuzz of its package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

each=${1:?usage: fuzz.sh DURATION, such as 1m}
while IFS=: read -r file _ line; do
  target=${line#func }
  target=${target%%(*}
  echo "== $(dirname "$file") $target for $each"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$each"
done < <(git grep -nE '^func Fuzz[A-Za-z]+\(' -- '*_test.go')
