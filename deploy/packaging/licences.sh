#!/usr/bin/env bash
# Prints the licences and notices of all that is linked into the program, for
# whoever hands out a binary: Go itself, then the modules, by name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C
shopt -s nullglob

texts() { # NAME VERSION DIRECTORY
  local file files=("$3"/LICENSE* "$3"/LICENCE* "$3"/COPYING* "$3"/NOTICE* "$3"/PATENTS*)
  [[ ${#files[@]} -gt 0 ]] || { echo "licences: $1 has no licence in $3" >&2; exit 1; }
  for file in "${files[@]}"; do
    printf '\n%s\n%s %s: %s\n\n' "$(printf '=%.0s' {1..80})" "$1" "$2" "${file##*/}"
    cat "$file"
  done
}

cat <<'END'
mailu-rotator is under the Mozilla Public License 2.0: see LICENSE. What follows is
linked into it, under the licences below. The sources of each module, as they were
compiled, can be had from https://proxy.golang.org/MODULE/@v/VERSION.zip.
END
texts "Go and its standard library" "$(go env GOVERSION)" "$(go env GOROOT)"
modules=$(CGO_ENABLED=0 go list -deps \
  -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/mailu-rotator | sort -u)
while read -r module version directory; do
  texts "$module" "$version" "$directory"
done <<<"$modules"
