#!/usr/bin/env bash
# Keeps of what fuzzing found, in Go's cache and below testdata/fuzz, the inputs
# that reach code which no smaller one reaches, and writes them to testdata/fuzz
# of the package, where go test replays them. Inputs that failed a target once
# are kept whatever they reach: name them after what they showed. Needs go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

names=${1:?usage: fuzz-corpus.sh NAMES, such as . or 'Load|Open'}
most=40 # files a target
largest=2048 # bytes of a file
# What reads for us counts as well.
covered=mailu-rotator/...,net/url,net/netip,encoding/json,encoding/csv,golang.org/x/net/html,golang.org/x/net/idna
covered+=,github.com/goccy/go-yaml/...,github.com/robfig/cron/v3
cache=$(go env GOCACHE)/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# found lists the files of a directory that fuzzing named, by a hash.
found() { find "$1" -type f -regextype posix-extended -regex '.*/[0-9a-f]{16}' 2>/dev/null || true; }

# reached runs the target on one input and prints the blocks that it reached.
reached() { # TARGET INPUT
  rm -f "$work/profile"
  (cd "$work/tree/$package" && "$test" -test.run "^$1\$/^$2\$" -test.coverprofile="$work/profile" \
    -test.fuzz '^$' -test.fuzzcachedir "$work/none" >"$work/printed" 2>&1) || { cat "$work/printed" >&2; return 1; }
  awk 'NR > 1 && $3 > 0 { print $1 }' "$work/profile"
}

# A copy of the sources, so that all candidates can lie where a target looks.
mkdir "$work/tree"
git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$work/tree"

while IFS=: read -r file _ line; do
  target=${line#func }
  target=${target%%(*}
  [[ $target =~ $names ]] || continue
  package=$(dirname "$file")
  kept=$package/testdata/fuzz/$target
  import=$(go list "./$package")
  test=$work/${package//\//-}.test
  [[ -x $test ]] || go test -c -cover -coverpkg="$covered" -o "$test" "./$package" 2>/dev/null
  rm -rf "$work/candidates"
  mkdir "$work/candidates"
  cp "$cache/$import/$target/"* "$work/candidates/" 2>/dev/null || true
  found "$kept" | xargs -r cp -t "$work/candidates/"
  rm -rf "${work:?}/tree/$kept"
  mkdir -p "$work/tree/$package/testdata/fuzz"
  reached "$target" 'seed#.*' | sort -u >"$work/known"
  cp -r "$work/candidates" "$work/tree/$kept"

  chosen=()
  while read -r size input; do
    (( size <= largest && ${#chosen[@]} < most )) || break
    reached "$target" "$input" | sort -u >"$work/blocks"
    if [[ -n $(comm -23 "$work/blocks" "$work/known") ]]; then
      chosen+=("$input")
      sort -u -o "$work/known" "$work/known" "$work/blocks"
    fi
  done < <(cd "$work/candidates" && find . -type f -printf '%s %f\n' | sort -n)

  found "$kept" | xargs -r rm
  for input in "${chosen[@]}"; do
    mkdir -p "$kept"
    cp "$work/candidates/$input" "$kept/$input"
  done
  echo "$package $target: ${#chosen[@]} of $(find "$work/candidates" -type f | wc -l) inputs"
done < <(git grep --untracked -nE '^func Fuzz[A-Za-z]+\(' -- '*_test.go')
