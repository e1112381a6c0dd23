#!/bin/sh
# Logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains it.
# Input: a tenant's id a line. Output: which password was accepted, never the password.
# Environment: VAULT_ADDR (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
# Needs Linux with coreutils, curl, jq and openssl 3.
# shellcheck disable=SC2016,SC2046,SC2059,SC2086,SC2154 # jq's variables; words and octal digits; what eval assigns
set -fu
export LC_ALL=C
bound=10 # seconds until a login is given up
token='' keys=''

# openssl takes keys as arguments only, and /proc shows those to every user of the host unless it is told not to.
if ! grep -Eq '^proc /proc .*hidepid=(2|invisible)' /proc/mounts && [ "${NO_OTHER_USERS-}" != yes ]; then
  echo "other users can read openssl's arguments: mount /proc with hidepid=2, or say NO_OTHER_USERS=yes" >&2 && exit 1
fi

# Bytes are texts of two hex digits each, since a variable holds no zero byte. hex makes them of standard input. bytes
# HEX [HEX] prints them, the first xor the second; printf is built in, so that they are no argument of a process.
hex() { printf %s $(od -An -v -tx1); }
bytes() {
  one=$1 two=${2-} octal=''
  while [ -n "$one" ]; do
    byte=$((0x${one%"${one#??}"} ^ 0x0${two%"${two#??}"})) && one=${one#??} two=${two#??}
    octal=$octal\\$((byte >> 6))$((byte >> 3 & 7))$((byte & 7))
  done
  printf "$octal"
}

# derive OPTION... KDF prints 32 bytes, which openssl separates by colons. aes -e|-d HEX works on single blocks.
derive() { IFS=: && printf %s $(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt salt:"$salt" "$@"); }
aes() { bytes "$2" | openssl enc "$1" -aes-256-ecb -nopad -K "$key" | hex; }
gmac() { bytes "$1" | openssl mac -cipher aes-256-gcm -macopt hexkey:"$key" -macopt hexiv:"$iv" GMAC; }

# open_sealed MASTER TENANT SEALED LAST_ROTATED opens into $password. docs/readers.md explains how GMAC makes GCM.
open_sealed() {
  raw=$(printf %s "$3" | base64 -d 2>/dev/null | hex)
  [ ${#raw} -ge 64 ] && [ "$(bytes "$raw" | base64 -w 0)" = "$3" ] || return
  iv=$(printf %.32s "$raw") && text=${raw#"$iv"}
  tag=$(printf %.32s "$text") && text=${text#"$tag"}
  salt=$2$4 # the exact strings of the record
  key=$(derive -kdfopt hexpass:"$(printf %s "$1" | base64 -d | hex)" -kdfopt iter:100000 PBKDF2)
  key=$(derive -kdfopt hexkey:"$key" -kdfopt info:"smtp/$2/admin/password" HKDF)

  mask=$(gmac '') && blocks=$text || return # the mask is the first counter, encrypted
  while [ $((${#blocks} % 32)) -ne 0 ]; do blocks=${blocks}0; done
  blocks=$blocks$(printf %032x $((${#text} * 4)))
  check=$(gmac "$blocks$tag") && [ "$check" = "$(gmac "$(printf %0${#blocks}d 0)$mask")" ] || return # of another key
  first=$(aes -d "$mask") && fixed=${first%????????} counters=''
  while [ ${#counters} -lt ${#text} ]; do
    counters=$counters$fixed$(printf %08x $((0x${first#"$fixed"} + 1 + ${#counters} / 32 & 0xffffffff)))
  done
  stream=$(aes -e "$counters") && [ ${#stream} -ge ${#text} ] || return
  password=$(bytes "$text" "$stream" | sed 's/[\\"]/\\&/g') # as curl's configuration wants it
}

# fetch PATH FILTER reads from Vault into $data what jq's filter makes of the answer.
fetch() {
  for attempt in 1 2; do
    data=$(printf 'header = "X-Vault-Token: %s"\n' "$token" | curl -sSm 5 -K - -w '\n%{http_code}' "$VAULT_ADDR/v1/$1")
    status=${data##*[!0-9]}
    [ "$attempt $status" = '1 403' ] || break # no token yet, or it has expired
    read -r role <"$CREDENTIALS_DIRECTORY/role-id"; read -r secret <"$CREDENTIALS_DIRECTORY/secret-id"
    token=$(printf '{"role_id": "%s", "secret_id": "%s"}' "$role" "$secret" |
      curl -sSm 5 --data-binary @- "$VAULT_ADDR/v1/auth/approle/login" | jq -r .auth.client_token)
  done
  why="vault does not return $1: $status"
  [ "$status" = 200 ] && data=$(printf %s "${data%???}" | jq -r "$2")
}

# unseal TENANT SEALED LAST_ROTATED VERSION opens into $password. If no key fits, there may be a new one.
unseal() {
  for fresh in no yes; do
    if [ $fresh = yes ]; then
      fetch transit/export/encryption-key/smtp-master \
        '.data.keys | to_entries | sort_by(-(.key | tonumber))[] | "\(.key):\(.value)"' || return
      keys=$data
    fi
    for entry in $keys; do # null in a record written elsewhere: any version, newest first
      case $4 in "${entry%:*}" | null) open_sealed "${entry#*:}" "$1" "$2" "$3" && return ;; esac
    done
  done
  why='no master key opens the password' && return 1
}

# log_in TENANT sets $which to the password that was accepted. Those of one version of the record are offered once.
log_in() {
  case $1 in *[!0-9a-fA-F-]* | '') why="not a tenant's id" && return 1 ;; esac
  name=$(IFS=- && printf %s $1) refused=0 && read -r begin _ </proc/uptime && now=$begin
  while [ $((${now%.*} - ${begin%.*})) -lt $bound ]; do
    fetch "vault/data/smtp/$1/admin" '.data | .metadata.version as $read | .data |
      def part: (select(.password) | [.password, .last_rotated // "", .key_version] | @sh) // "";
      @sh "version=\($read) username=\(.username | tojson[1:-1]) current=\(part) pending=\(.pending | part)"' || return
    eval "$data" && eval "known=\${version_$name-} offers=\${offers_$name-}"
    if [ "$known" != "$version" ]; then
      offers="${current:+current} ${pending:+pending}"
      eval "version_$name=\$version offers_$name=\$offers current_$name='' pending_$name=''"
    fi
    [ "$version" != "$refused" ] || offers=''
    for which in $offers; do
      eval "password=\$${which}_$name part=\$$which"
      if [ -z "$password" ]; then
        eval "unseal $1 $part" && eval "${which}_$name=\$password" || return
      fi
      # The server is not from the record, whose writer could name another.
      code=$(printf 'user = "%s:%s"\n' "$username" "$password" |
        curl -sm 5 -K - -X NOOP -o /dev/null -w '%{response_code}' "smtps://$MAIL_SERVER")
      case $code in
        250) eval "offers_$name='$which ${offers%"$which"*}${offers#*"$which"}'" && return ;; # from now on the first
        535) ;; # refused
        *) why="the mail server answers $code" && return 1 ;; # a fault, or a limit: says nothing about the password
      esac
    done
    refused=$version && sleep 0.1 && read -r now _ </proc/uptime
  done
  why="refused for $bound s: run mailu-rotator verify --tenant $1" && return 1
}

while read -r tenant; do
  if log_in "$tenant"; then echo "$tenant $which"; else echo "$tenant failed: $why"; fi
done
