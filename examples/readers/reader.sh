#!/bin/sh
# Logs in as tenants' Mailu users with the passwords that mailu-rotator keeps in Vault. docs/readers.md explains it.
# Input: a tenant's id a line. Output: which password was accepted, never the password.
# Environment: VAULT_ADDR (https), CREDENTIALS_DIRECTORY (role-id, secret-id), MAIL_SERVER (host:port, TLS at once).
# Needs curl, jq and openssl 3.
set -fu
export LC_ALL=C
. "$(dirname "$0")/envelope.sh"
bound=${BOUND-10} # seconds until a login is given up
pause=0.1 # seconds after a refusal until the record is read again
token='' keys='{}' line='
'

# openssl takes keys as arguments only, and /proc shows those to every user of the host unless it is told not to.
if ! grep -Eq '^proc /proc .*hidepid=(2|invisible)' /proc/mounts && [ "${NO_OTHER_USERS-}" != yes ]; then
  echo "other users can read openssl's arguments: mount /proc with hidepid=2, or say NO_OTHER_USERS=yes" >&2
  exit 1
fi

# ask PATH prints Vault's answer and, on a line of its own, the status.
ask() {
  printf 'header = "X-Vault-Token: %s"\n' "$token" | curl -sS -m 5 -K - -w '\n%{http_code}' "$VAULT_ADDR/v1/$1" 2>&1
}

# fetch PATH reads into $data.
fetch() {
  data=$(ask "$1")
  if [ "${data##*"$line"}" = 403 ]; then # no token yet, or it has expired
    token=$(jq -n --rawfile role "$CREDENTIALS_DIRECTORY/role-id" --rawfile secret "$CREDENTIALS_DIRECTORY/secret-id" \
      '{role_id: $role, secret_id: $secret} | map_values(rtrimstr("\n"))' |
      curl -sS -m 5 --data-binary @- "$VAULT_ADDR/v1/auth/approle/login" | jq -r .auth.client_token)
    data=$(ask "$1")
  fi
  why="vault does not return $1: ${data##*"$line"}"
  [ "${data##*"$line"}" = 200 ] && data=${data%"$line"*}
}

# unseal TENANT RECORD PART opens into $password. If no key fits, there may be a new one.
unseal() {
  eval "$(printf %s "$2" | jq -r ".data.data$3"' |
    @sh "sealed=\(.password) last_rotated=\(.last_rotated // "") version=\(.key_version)"')"
  for fresh in no yes; do
    if [ $fresh = yes ]; then
      fetch transit/export/encryption-key/smtp-master || return
      keys=$data
    fi
    # A record written elsewhere may name no version: then any, newest first.
    for master in $(printf %s "$keys" | jq -r --argjson version "$version" '.data.keys // {} | to_entries |
        sort_by(-(.key | tonumber))[] | select($version == null or $version == (.key | tonumber)) | .value'); do
      open_sealed "$(printf %s "$master" | openssl base64 -d -A | hex)" "$1" "$last_rotated" "$sealed" && return
    done
  done
  why='no master key opens the password' && return 1
}

# accepted USERNAME PASSWORD: 1 is a refusal; 2, a fault or a limit of logins, says nothing about the password.
accepted() {
  # The server is not from the record, whose writer could name another.
  code=$({ printf 'user = "' && bytes "$(printf %s: "$1" | hex)$2" | sed 's/[\\"]/\\&/g' && printf '"\n'; } |
    curl -s -m 5 -K - -X NOOP -o /dev/null -w '%{response_code}' "smtps://$MAIL_SERVER")
  why="the mail server answers $code"
  case $code in 250) ;; 535) return 1 ;; *) return 2 ;; esac
}

# log_in TENANT sets $which to the password that was accepted. Those of one version of the record are offered once.
log_in() {
  name=$(IFS=- && printf %s $1) deadline=$(($(date +%s) + bound)) refused=0
  while [ "$(date +%s)" -lt "$deadline" ]; do
    fetch "vault/data/smtp/$1/admin" || return
    record=$data
    eval "$(printf %s "$record" | jq -r '.data | .metadata.version as $version | .data |
      [(select(.password) | "current"), (select(.pending.password?) | "pending")] as $offers |
      @sh "now=\($version) username=\(.username) offers=\($offers | join(" "))"')"
    if eval "[ \"\${version_$name-}\" != $now ]"; then
      eval "version_$name=$now offers_$name=\$offers current_$name='' pending_$name=''"
    fi
    eval "offers=\$offers_$name"
    [ "$now" != "$refused" ] || offers=''
    for which in $offers; do
      eval "password=\$${which}_$name"
      if [ -z "$password" ]; then
        part='' && [ "$which" = current ] || part=.pending
        unseal "$1" "$record" "$part" || return
        eval "${which}_$name=\$password"
      fi
      accepted "$username" "$password"
      case $? in
        0) eval "offers_$name=\"$which \${offers%$which*}\${offers#*$which}\"" && return ;; # from now on the first
        2) return 2 ;;
      esac
    done
    refused=$now
    sleep $pause
  done
  why="refused for $bound s: run mailu-rotator verify --tenant $1" && return 1
}

while read -r tenant; do
  case $tenant in
    *[!0-9a-fA-F-]* | '') echo "$tenant failed: not a tenant's id" ;;
    *) if log_in "$tenant" </dev/null; then echo "$tenant $which"; else echo "$tenant failed: $why"; fi ;;
  esac
done
