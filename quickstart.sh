#!/usr/bin/env bash
# Builds Keystead, starts it with everything made by itself, plays a vCenter's whole key sequence against it, shows where the
# key now lies, and keeps serving. Run it again and it goes on with what is there.
#
#   ./quickstart.sh           keeps serving until Ctrl-C
#   ./quickstart.sh --check   stops when done; exit code 0 only if every step was right
#
# KEYSTEAD_DIR chooses the data directory (default: keystead-dev beside this script).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

check_only=false
case "${1-}" in
'') ;;
--check) check_only=true ;;
-h | --help)
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
*)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac

dir=${KEYSTEAD_DIR:-keystead-dev}
say() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# --- What is needed: a C compiler (for SQLite and the cryptography), SoftHSM2, Rust. ---

has_softhsm() {
    local module
    for module in /usr/lib/softhsm /usr/lib/*/softhsm /usr/lib64/pkcs11 /usr/lib64/softhsm /usr/local/lib/softhsm \
        /opt/homebrew/lib/softhsm; do
        if [ -e "$module/libsofthsm2.so" ]; then return 0; fi
    done
    return 1
}

install_missing() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    has_softhsm || missing+=(softhsm2)
    if [ ${#missing[@]} -eq 0 ]; then return; fi

    local apt=(apt-get install -y --no-install-recommends "${missing[@]}")
    if ! command -v apt-get >/dev/null; then
        fail "please install the counterparts of: ${missing[*]}"
    elif [ "$(id -u)" -eq 0 ]; then
        say "Installing ${missing[*]}"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive "${apt[@]}"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        say "Installing ${missing[*]} (sudo)"
        sudo apt-get update -q
        sudo DEBIAN_FRONTEND=noninteractive "${apt[@]}"
    else
        fail "please run as root: apt-get install ${missing[*]}"
    fi
}

install_missing
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi
command -v cargo >/dev/null || fail "Rust is missing: install it from https://rustup.rs and run this again"

target=${CARGO_TARGET_DIR:-target}
keystead=$target/release/keystead
if [ ! -x "$keystead" ]; then
    say "Building Keystead (some minutes the first time)"
fi
cargo build --release --locked --bin keystead

# --- Start, on ports that are free. ---

is_busy() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
kmip=127.0.0.1:5696
admin=127.0.0.1:8443
if is_busy 5696; then
    echo "port 5696 is in use by another program: taking a free one"
    kmip=127.0.0.1:0
fi
if is_busy 8443; then admin=127.0.0.1:0; fi

mkdir -p "$dir"
log=$dir/server.log
trace=$dir/check.log
server=
stop() {
    trap - EXIT INT TERM
    if [ -n "$server" ] && kill "$server" 2>/dev/null; then
        wait "$server" 2>/dev/null || true
    fi
}
trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

say "Starting Keystead in $dir"
if [ ! -e "$dir/keystead.db" ]; then
    echo "making a SoftHSM2 token, a root key, a certificate authority and certificates: a few seconds"
fi
: >"$log"
# In a process group of its own, Ctrl-C reaches only this script, which then stops the server once.
set -m
"$keystead" dev --dir "$dir" --kmip-listen "$kmip" --admin-listen "$admin" >"$log" 2>&1 &
server=$!
set +m
until grep -q '^KMIP ready on ' "$log"; do
    if ! kill -0 "$server" 2>/dev/null; then
        cat "$log" >&2
        server=
        fail "Keystead did not start"
    fi
    sleep 0.05
done
grep -v -e '^kept' -e '^making' "$log" || true
address=$(sed -n 's/^KMIP ready on //p' "$log" | head -n 1)

# --- A vCenter's life, and where the key lies. ---

say "A vCenter 8 and an ESXi host use it (KMIP 1.1 over mutual TLS)"
"$keystead" check --as vcenter --keep-key --addr "$address" \
    --ca "$dir/client/ca.pem" --cert "$dir/client/cert.pem" --key "$dir/client/key.pem" | tee "$trace"
key=$(sed -n 's/^key left on the server: //p' "$trace")
[ -n "$key" ] || fail "the check left no key"

say "Where the key lies now"
"$keystead" key show --config "$dir/keystead.toml" "$key"

say "How to point a vCenter at it"
host=$(hostname 2>/dev/null || echo kms.example.com)
cat <<TEXT
This server listens on the loopback address only. For a real vCenter:
  1. $keystead init --dir /var/lib/keystead --san $host
     (--san: each name and address that vCenter will use; --hsm pkcs11 for your own HSM)
  2. $keystead serve --config /var/lib/keystead/keystead.toml
  3. vSphere Client > vCenter > Configure > Key Providers > Add Standard Key Provider:
     address $host, port 5696
  4. Trust: upload client/cert.pem and client/key.pem ("KMS certificate and private key"), or take vCenter's own
     certificate and register it:
     $keystead cert register --config /var/lib/keystead/keystead.toml --adapter default vcenter.pem
  5. Compare the server certificate's thumbprint with the one that init printed.
TEXT

say "The console"
console=$(sed -n 's/^admin API ready on //p' "$log" | head -n 1)
cat <<TEXT
https://$console/  connects a vCenter or a NetApp step by step. Sign in with the key in $dir/admin.token;
the browser trusts the page once it trusts $dir/tls/ca.pem.
TEXT

if $check_only; then
    say "All right"
    exit 0
fi
say "Serving on $address; log in $log; Ctrl-C stops"
wait "$server"
