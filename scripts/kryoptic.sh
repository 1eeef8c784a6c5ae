#!/usr/bin/env bash
# Builds kryoptic, a PKCS#11 software token, as a second opinion beside SoftHSM2: target/kryoptic/libkryoptic_pkcs11.so. Does
# nothing where that version is built already; says SKIP, and succeeds, where it cannot be built.
#
#   scripts/kryoptic.sh
#
# Needs the headers of OpenSSL 3 and SQLite, pkg-config and libclang (Debian, Ubuntu: libssl-dev libsqlite3-dev pkg-config clang).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=1.5.4
# Without the defaults, which want OpenSSL 3.2 (EdDSA) and 3.5 (post-quantum); with the system's OpenSSL, not a build of its own.
features=minimal,kdf_all,kryoptic-lib/dynamic
built_as="$version $features"

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/kryoptic"
out=$(cd "$target/kryoptic" && pwd)
module=$out/libkryoptic_pkcs11.so

skip() {
    printf 'SKIP: kryoptic is not built, so its tests do not run: %s\n' "$*"
    exit 0
}

if [ -e "$module" ] && [ "$(cat "$out/built-as" 2>/dev/null)" = "$built_as" ]; then
    exit 0
fi
rm -f "$module" "$out/built-as"
for tool in cargo pkg-config clang; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
done
pkg-config --atleast-version=3.0 openssl || skip "the headers of OpenSSL 3 are missing"
pkg-config --exists sqlite3 || skip "the headers of SQLite are missing"

# It is a C library: depending on it gives no module. So a throw-away project only fetches its source, which is built by itself.
fetch=$out/fetch
source=$out/source
rm -rf "$fetch" "$source"
mkdir -p "$fetch/src"
touch "$fetch/src/lib.rs"
cat >"$fetch/Cargo.toml" <<END
[package]
name = "fetch"
edition = "2024"
[dependencies]
kryoptic = { version = "=$version", default-features = false, features = ["minimal"] }
[workspace]
END
manifest=$(cd "$fetch" && cargo metadata --quiet --format-version 1 | grep -o "\"manifest_path\":\"[^\"]*/kryoptic-$version/Cargo.toml\"") ||
    skip "its source cannot be fetched"
manifest=${manifest#*:\"}
cp -r "$(dirname "${manifest%\"}")" "$source"
chmod -R u+w "$source"
printf '\n[workspace]\n' >>"$source/Cargo.toml"

log=$out/build.log
if ! (cd "$source" && cargo build --release --locked --no-default-features --features "$features" --target-dir "$out/build") \
    >"$log" 2>&1; then
    tail -n 20 "$log"
    skip "its build fails; the whole of what it says is in $log"
fi
cp "$out/build/release/libkryoptic_pkcs11.so" "$module"
printf '%s' "$built_as" >"$out/built-as"
# Only the module is needed from here on.
rm -rf "$out/build" "$fetch" "$source"
