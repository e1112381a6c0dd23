# The envelope, for reader.sh: PBKDF2, HKDF, and AES-256-GCM, which openssl's command has not. This is GCM as NIST
# SP 800-38D defines it, made of openssl's AES, and checks the tag. Bytes are texts of two hex digits each, since a
# variable holds no zero byte.

# hex turns standard input into hex digits: words of two each, joined.
# shellcheck disable=SC2046
hex() { printf %s $(od -An -v -tx1); }

# bytes HEX prints bytes. printf is built in: what it prints is no argument of a process.
bytes() {
  left=$1 octal=''
  while [ -n "$left" ]; do
    tail=${left#??} && byte=$((0x${left%"$tail"})) && left=$tail
    octal=$octal\\$((byte >> 6))$((byte >> 3 & 7))$((byte & 7))
  done
  printf "$octal"
}

# xor HEX HEX prints as much as the first has.
xor() {
  one=$1 two=$2
  while [ -n "$one" ]; do
    printf %02x $((0x${one%"${one#??}"} ^ 0x${two%"${two#??}"})) && one=${one#??} two=${two#??}
  done
}

# derive OPTION... KDF prints 32 bytes. aes HEX encrypts blocks with $key.
derive() { openssl kdf -binary -keylen 32 -kdfopt digest:SHA256 -kdfopt salt:"$salt" "$@" | hex; }
aes() { bytes "$1" | openssl enc -aes-256-ecb -nopad -K "$key" | hex; }

# ghash HEX hashes blocks into the four words $y0 to $y3, with the four words of $h as its key (6.3 and 6.4).
ghash() {
  left=$1 y0=0 y1=0 y2=0 y3=0
  # shellcheck disable=SC2086 # four words
  set -- $h
  while [ -n "$left" ]; do
    v0=$1 v1=$2 v2=$3 v3=$4 z0=0 z1=0 z2=0 z3=0
    for y in $y0 $y1 $y2 $y3; do
      tail=${left#????????} && x=$((y ^ 0x${left%"$tail"})) && left=$tail
      bit=31
      while [ $bit -ge 0 ]; do
        m=$((-(x >> bit & 1))) # all ones where the bit is set
        z0=$((z0 ^ v0 & m)) z1=$((z1 ^ v1 & m)) z2=$((z2 ^ v2 & m)) z3=$((z3 ^ v3 & m))
        m=$((-(v3 & 1) & 0xe1000000))
        v3=$((v3 >> 1 | (v2 & 1) << 31)) v2=$((v2 >> 1 | (v1 & 1) << 31)) v1=$((v1 >> 1 | (v0 & 1) << 31))
        v0=$((v0 >> 1 ^ m)) bit=$((bit - 1))
      done
    done
    y0=$z0 y1=$z1 y2=$z2 y3=$z3
  done
}

# open_sealed MASTER TENANT LAST_ROTATED SEALED opens into $password.
open_sealed() {
  raw=$(printf %s "$4" | openssl base64 -d -A 2>/dev/null | hex)
  [ ${#raw} -ge 64 ] && [ "$(bytes "$raw" | openssl base64 -A)" = "$4" ] || return
  iv=$(printf %.32s "$raw") && text=${raw#"$iv"}
  tag=$(printf %.32s "$text") && text=${text#"$tag"}

  salt=$2$3 # the exact strings of the record
  key=$(derive -kdfopt hexpass:"$1" -kdfopt iter:100000 PBKDF2)
  key=$(derive -kdfopt hexkey:"$key" -kdfopt info:"smtp/$2/admin/password" HKDF)

  # The first counter is the hash of the IV, which is longer than GCM's usual 12 bytes. Then come a block to hide the
  # tag with, and the blocks to hide the text with.
  h=$(aes 00000000000000000000000000000000 | sed 's/......../ 0x&/g')
  ghash "$iv$(printf %032x 128)"
  counters=''
  while [ ${#counters} -lt $((${#text} + 32)) ]; do
    counters=$counters$(printf %08x%08x%08x%08x "$y0" "$y1" "$y2" $((y3 + ${#counters} / 32 & 0xffffffff)))
  done
  stream=$(aes "$counters") padded=$text
  while [ $((${#padded} % 32)) -ne 0 ]; do padded=${padded}0; done
  ghash "$padded$(printf %032x $((${#text} * 4)))"
  [ "$(xor "$(printf %08x%08x%08x%08x "$y0" "$y1" "$y2" "$y3")" "$stream")" = "$tag" ] || return
  password=$(xor "$text" "${stream#????????????????????????????????}")
}
