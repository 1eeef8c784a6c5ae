#!/usr/bin/env bash
# Installs what the tests need and runs all of them. Exit code 0 only if everything passed; what cannot run on this machine
# says SKIP.
#
#   ./test.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf '\n== %s\n' "$*"; }
skip() { printf 'SKIP: %s\n' "$*"; }

# --- What is needed. ---

install_missing() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v softhsm2-util >/dev/null || missing+=(softhsm2)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    if [ ${#missing[@]} -eq 0 ]; then return; fi

    local root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo -n); fi
    if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
        say "Installing ${missing[*]}"
        "${root[@]}" apt-get update -q
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    else
        echo "test.sh: please install: ${missing[*]}" >&2
        exit 1
    fi
}

# Real KMIP clients in a virtual environment of their own, made again when their versions change.
make_venv() {
    local venv=$1 wanted=tests/clients/requirements.txt
    if ! cmp -s "$wanted" "$venv/requirements.txt"; then
        say "Installing the KMIP clients of Python into $venv"
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted"
        cp "$wanted" "$venv/requirements.txt"
    fi
}

install_missing
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
KEYSTEAD_TEST_VENV=$(cd "$target" && pwd)/venv
export KEYSTEAD_TEST_VENV
make_venv "$KEYSTEAD_TEST_VENV"

# --- The tests. ---

say "Scripts"
if command -v shellcheck >/dev/null; then
    shellcheck quickstart.sh test.sh .ci/run
else
    skip "shellcheck is not installed"
fi

say "Format"
cargo fmt --all --check

say "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

say "Tests"
cargo test --workspace --locked

# --- The conformance cases, each version against a new server with the software backend. ---

# Operations of which the cases are played; one that needs another operation is not.
operations=DiscoverVersions,Query,Create,Register,Get,GetAttributes,GetAttributeList,AddAttribute,ModifyAttribute
operations+=,DeleteAttribute,Locate,Activate,Revoke,Destroy

conformance_of() {
    local runner=$1 dir=$2 version=$3 server port
    rm -rf "$dir"
    mkdir -p "$dir"
    (umask 077 && echo 'Fred:password1' >"$dir/credential")
    : >"$dir/server.log"
    "$target/debug/keystead" dev --dir "$dir/data" --hsm software --tls-key ecdsa-p256 \
        --credential-file "$dir/credential" --kmip-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$dir/server.log" 2>&1 &
    server=$!
    # shellcheck disable=SC2064 # the process that was started now
    trap "kill $server 2>/dev/null || true" EXIT
    until grep -q '^KMIP ready on ' "$dir/server.log"; do
        if ! kill -0 "$server" 2>/dev/null; then
            cat "$dir/server.log" >&2
            return 1
        fi
        sleep 0.1
    done
    port=$(sed -n 's/^KMIP ready on .*://p' "$dir/server.log" | head -n 1)
    local first=$dir/data/client second=$dir/data/client2
    # Which failures matter is decided below.
    PYTHONDONTWRITEBYTECODE=1 python3 "$runner" --port "$port" --ca "$first/ca.pem" --cert "$first/cert.pem" \
        --key "$first/key.pem" --cert2 "$second/cert.pem" --key2 "$second/key.pem" --version "$version" \
        --ops "$operations" -q >"$dir/result.log" 2>&1 || true
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    trap - EXIT
    tail -n 1 "$dir/result.log" | sed "s/^/KMIP $version: /"
    grep -q ' passed, .* failed, ' "$dir/result.log"
}

# Fails where a case fails that tests/conformance-exceptions.txt does not argue.
conformance() {
    local runner=$1 dir=$2 version case pattern reason result=0 argued
    for version in 1.0 1.1 1.2 1.3 1.4; do
        conformance_of "$runner" "$dir/$version" "$version" || result=1
        while read -r _ case; do
            argued=
            while read -r pattern reason; do
                # shellcheck disable=SC2053 # the right side is a pattern
                if [[ $pattern != '#' && -n $pattern && $case == $pattern ]]; then argued=$reason; fi
            done <tests/conformance-exceptions.txt
            if [ -n "$argued" ]; then
                printf '  %s: %s\n' "$case" "$argued"
            else
                grep -A 1 "^FAIL $case\$" "$dir/$version/result.log"
                result=1
            fi
        done < <(grep '^FAIL ' "$dir/$version/result.log" || true)
    done
    return $result
}

say "Conformance"
if [ -f ../shared/conformance/run.py ]; then
    conformance ../shared/conformance/run.py "$target/conformance"
else
    skip "the conformance cases are not on this machine"
fi

say "All tests passed"
