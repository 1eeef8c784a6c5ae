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
    # What `optional` names is only for further tokens to test with, which are skipped without it.
    local missing=() optional=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v softhsm2-util >/dev/null || missing+=(softhsm2)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    command -v clang >/dev/null || optional+=(clang)
    command -v pkg-config >/dev/null || optional+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || optional+=(libssl-dev)
    pkg-config --exists sqlite3 2>/dev/null || optional+=(libsqlite3-dev)
    compgen -G '/usr/lib*/libsoftokn3.so' >/dev/null || compgen -G '/usr/lib/*/libsoftokn3.so' >/dev/null ||
        optional+=(libnss3)
    # The console's tests drive a browser.
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || optional+=(chromium)
    command -v chromedriver >/dev/null || optional+=(chromium-driver)
    command -v npm >/dev/null || optional+=(npm)
    if [ $((${#missing[@]} + ${#optional[@]})) -eq 0 ]; then return; fi

    local root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo -n); fi
    if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
        say "Installing ${missing[*]} ${optional[*]}"
        local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
        "${root[@]}" apt-get update -q || [ ${#missing[@]} -eq 0 ]
        if [ ${#missing[@]} -gt 0 ]; then "${root[@]}" "${install[@]}" "${missing[@]}"; fi
        if [ ${#optional[@]} -gt 0 ]; then
            "${root[@]}" "${install[@]}" "${optional[@]}" || skip "not all of ${optional[*]} can be installed"
        fi
    elif [ ${#missing[@]} -gt 0 ]; then
        echo "test.sh: please install: ${missing[*]}" >&2
        exit 1
    fi
}

# Python programs in a virtual environment of their own, made again when their versions change.
make_venv() {
    local venv=$1 wanted=$2 what=$3
    if cmp -s "$wanted" "$venv/requirements.txt"; then return; fi
    say "Installing $what into $venv"
    python3 -m venv --clear "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$wanted" &&
        cp "$wanted" "$venv/requirements.txt"
}

install_missing
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
KEYSTEAD_TEST_VENV=$(cd "$target" && pwd)/venv
export KEYSTEAD_TEST_VENV
make_venv "$KEYSTEAD_TEST_VENV" tests/clients/requirements.txt "the KMIP clients of Python"
KEYSTEAD_TEST_SCHEMATHESIS=$(cd "$target" && pwd)/schemathesis
export KEYSTEAD_TEST_SCHEMATHESIS
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    make_venv "$KEYSTEAD_TEST_SCHEMATHESIS" tests/admin/requirements.txt "schemathesis" ||
        skip "schemathesis cannot be installed"
else
    skip "schemathesis needs Python 3.11"
fi

# What looks for faults that keep people out of the console.
axe="axe-core@4.14.1"
axe_digest=sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==
KEYSTEAD_TEST_AXE=$(cd "$target" && pwd)/axe/axe.min.js
export KEYSTEAD_TEST_AXE
if [ ! -f "$KEYSTEAD_TEST_AXE" ]; then
    say "Fetching $axe"
    mkdir -p "$target/axe"
    if (cd "$target/axe" && file=$(npm pack --silent "$axe") &&
        [ "sha512-$(openssl dgst -sha512 -binary "$file" | openssl base64 -A)" = "$axe_digest" ] &&
        tar -xzf "$file" --strip-components=1 package/axe.min.js && rm "$file"); then :; else
        rm -f "$KEYSTEAD_TEST_AXE"
        skip "axe-core cannot be fetched: the console is not looked at with it"
    fi
fi

say "The software token kryoptic (built once, which takes a minute or two)"
scripts/kryoptic.sh

# --- The tests. ---

say "Scripts"
if command -v shellcheck >/dev/null; then
    shellcheck quickstart.sh test.sh .ci/run scripts/*.sh
else
    skip "shellcheck is not installed"
fi

say "Format"
cargo fmt --all --check

say "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

# What drives a container engine takes longer to compile than the rest of the tests: only where there may be one.
features=()
if [ -n "${DOCKER_HOST-}" ] || [ -S /var/run/docker.sock ] || [ "${KEYSTEAD_TESTS_DOCKER-}" = 1 ]; then
    features=(--features pkcs11-fixtures/containers)
fi

# A test that hangs fails, and those that were running are the ones last named.
say "Tests"
cargo test --workspace --locked "${features[@]}" --no-run
timeout --kill-after=30 30m cargo test --workspace --locked "${features[@]}" || {
    code=$?
    if [ "$code" -eq 124 ]; then echo "test.sh: the tests did not end within 30 minutes" >&2; fi
    exit "$code"
}

say "All tests passed"
