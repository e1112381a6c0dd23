#!/usr/bin/env bash
# tools.sh NAME...: prints the path of each tool that tests need. One that is
# missing is installed where that can be done without asking: as root on Debian
# and its kin. Another package manager at work is waited for.
set -euo pipefail

patience=600 # seconds for another package manager

# found COMMAND...: prints their paths, and what is missing to stderr. A|B is one
# or the other.
found() {
  local command name path status=0
  for command; do
    path=
    for name in ${command//|/ }; do
      path=${path:-$(type -P "$name" || true)}
    done
    if [[ -n $path ]]; then
      echo "$path"
    else
      echo "tools: not on PATH: ${command//|/ or }" >&2
      status=1
    fi
  done
  return "$status"
}

# The option is for dpkg's locks. That of the lists of packages has none.
refresh() {
  local said deadline=$((SECONDS + patience))
  [[ -z ${refreshed:-} ]] || return 0
  until said=$(LC_ALL=C apt-get update -q 2>&1); do
    if [[ $said != *"Could not get lock"* || $SECONDS -ge $deadline ]]; then
      echo "$said" >&2
      return 1
    fi
    sleep 2
  done
  refreshed=yes
}

install_packages() {
  refresh
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout="$patience" install -qy --no-install-recommends "$@"
}

# provide PACKAGES WHY COMMAND...: prints the paths of the commands, after
# installing the packages where one is missing.
provide() {
  local packages=$1 why=$2
  shift 2
  if ! found "$@" &>/dev/null && [[ $EUID -eq 0 ]] && type -P apt-get >/dev/null; then
    # shellcheck disable=SC2086 # a list of packages
    install_packages $packages >&2
  fi
  if ! found "$@"; then
    echo "tools: $why (on Debian as root: apt-get install $packages)" >&2
    return 1
  fi
}

# promtool is taken out of Debian's package, without installing that: a
# Prometheus would be started. Kept in ~/.cache/mailu-rotator.
promtool() {
  local kept=${XDG_CACHE_HOME:-$HOME/.cache}/mailu-rotator/promtool
  type -P promtool && return
  if [[ ! -x $kept ]] && type -P apt-get >/dev/null; then
    (
      work=$(mktemp -d)
      trap 'rm -rf "$work"' EXIT
      cd "$work"
      [[ $EUID -ne 0 ]] || refresh
      apt-get download prometheus
      dpkg-deb -x prometheus_*.deb .
      mkdir -p "$(dirname "$kept")"
      mv usr/bin/promtool "$kept.$$" # another file system, maybe: not at once
      mv "$kept.$$" "$kept"
    ) >&2
  fi
  if [[ ! -x $kept ]]; then
    echo "tools: there is no promtool on PATH: install Prometheus (on Debian: apt-get install prometheus)" >&2
    return 1
  fi
  echo "$kept"
}

# python3 is the first that has the package cryptography: one beside Debian's may
# be first on PATH, and not see Debian's packages.
python3_with_cryptography() {
  local attempt path
  for attempt in once again; do
    for path in $(type -P python3 || true) /usr/bin/python3; do
      if [[ -x $path ]] && "$path" -c 'import cryptography' &>/dev/null; then
        echo "$path"
        return
      fi
    done
    if [[ $attempt == once && $EUID -eq 0 ]] && type -P apt-get >/dev/null; then
      install_packages python3-cryptography >&2
    fi
  done
  echo "tools: no python3 has the package cryptography: install it (on Debian as root: apt-get install python3-cryptography)" >&2
  return 1
}

# mail_servers installs Dovecot and Postfix without starting them: no service of
# this machine is to listen because of a test. Postfix gets no configuration,
# without which its unit does not start it later either.
mail_servers() {
  local policy=/usr/sbin/policy-rc.d ours=
  if ! found dovecot postfix &>/dev/null && [[ $EUID -eq 0 && ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=yes
  fi
  if [[ $EUID -eq 0 ]] && type -P debconf-set-selections >/dev/null; then
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  fi
  local status=0
  provide "dovecot-imapd postfix" "real logins are tried on Dovecot and Postfix: install them" dovecot postfix || status=$?
  [[ -z $ours ]] || rm "$policy"
  return "$status"
}

for tool; do
  case $tool in
    cc) provide "gcc libc6-dev" "the race detector needs a C compiler: install gcc" gcc ;;
    chromium) provide "chromium fonts-dejavu-core" "the status page's tests open it in Chromium: install it" "chromium|chromium-browser|google-chrome" ;;
    mail-servers) mail_servers ;;
    node) provide nodejs "the envelope's tests need a second implementation: install Node.js 16 or later" node ;;
    podman) provide "podman runc" "the container test needs podman and runc" podman runc ;;
    nspawn) provide "systemd-container debootstrap" "the boot test needs systemd-nspawn and debootstrap" systemd-nspawn debootstrap ;;
    package-readers) provide "dpkg rpm" "packages are read back with dpkg and rpm: install them" dpkg-deb rpm ;;
    promtool) promtool ;;
    readers)
      provide "nodejs node-typescript php-cli curl jq openssl" "the example readers need Node.js 18 or later, TypeScript, PHP 8.1 or later, curl, jq and openssl 3: install them" node tsc php curl jq openssl
      python3_with_cryptography
      ;;
    script) provide "curl jq openssl" "the script that the benchmark compares with needs curl, jq and openssl: install them" curl jq openssl ;;
    systemd-analyze) provide systemd "the units are checked by systemd-analyze: install systemd" systemd-analyze ;;
    *) echo "tools: no tool is named $tool" >&2; exit 1 ;;
  esac
done
